"""Every file of a result can be fetched: whole, in parts, only if changed, as what it is."""

from __future__ import annotations

import csv
import io
import json

import httpx
import pytest

from tests.service.fields import make_field, png

MEDIA = {
    "detections.geojson": "application/geo+json",
    "detections.csv": "text/csv; charset=utf-8",
    "candidates.csv": "text/csv; charset=utf-8",
    "regions.geojson": "application/geo+json",
    "tissue.geojson": "application/geo+json",
    "map.ome.tiff": "image/tiff",
    "map.png": "image/png",
    "overview.png": "image/png",
    "hotspot-1.png": "image/png",
    "report.html": "text/html; charset=utf-8",
    "run.json": "application/json",
    "mitotic-figures.json": "application/json",
}


@pytest.fixture(scope="module")
def done(server) -> dict:
    """A finished job that asked for further files."""
    query = {"threshold": 0.3, "export": ["zarr", "grand-challenge"]}
    return server.client.post("/detect", content=png(make_field(24)), params=query).raise_for_status().json()


def test_the_list_and_the_links_name_every_file(client: httpx.Client, done: dict) -> None:
    listed = client.get(done["links"]["files"]).raise_for_status().json()
    names = {file["name"] for file in listed["files"]}
    assert set(MEDIA) <= names <= {*MEDIA, "hotspot-2.png", "hotspot-3.png"}
    for file in listed["files"]:
        assert done["links"][file["name"]] == file["link"]
        answer = client.get(file["link"])
        assert len(answer.content) == file["bytes"]
        assert answer.headers["content-type"] == file["media_type"]
        assert MEDIA.get(file["name"], "image/png") == file["media_type"]
    assert listed["zarr"] == done["links"]["map.ome.zarr"]


@pytest.mark.parametrize("name", ["map.ome.tiff", "report.html", "candidates.csv"])
def test_a_file_comes_in_ranges_and_only_if_changed(client: httpx.Client, done: dict, name: str) -> None:
    link = done["links"][name]
    whole = client.get(link)
    assert whole.headers["x-content-type-options"] == "nosniff"
    head = client.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    assert client.post(link).headers["allow"] == "GET, HEAD"
    part = client.get(link, headers={"Range": "bytes=3-9"})
    assert part.status_code == 206
    assert part.content == whole.content[3:10]
    assert part.headers["content-range"] == f"bytes 3-9/{len(whole.content)}"
    tag = whole.headers["etag"]
    unchanged = client.get(link, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for known in (f"W/{tag}", f'"other", {tag}', "*"):
        assert client.get(link, headers={"If-None-Match": known}).status_code == 304
    assert client.get(link, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(link, headers={"Range": "bytes=3-9", "If-Range": tag}).status_code == 206
    assert client.get(link, headers={"Range": "bytes=3-9", "If-Range": '"other"'}).status_code == 200
    assert client.get(link, headers={"Range": f"bytes={len(whole.content) + 5}-"}).status_code == 416


def test_a_report_may_not_run_or_fetch_anything(client: httpx.Client, done: dict) -> None:
    policy = client.get(done["links"]["report.html"]).headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "img-src data:", "sandbox"} <= set(policy)
    assert not any(rule.startswith(("script-src", "connect-src")) for rule in policy)


def test_candidates_are_those_of_every_threshold(client: httpx.Client, done: dict) -> None:
    rows = list(csv.DictReader(io.StringIO(client.get(done["links"]["candidates.csv"]).text)))
    floor = client.get(done["links"]["detections"]).json()["candidate_floor"]
    below = client.get(done["links"]["detections"], params={"threshold": floor}).json()
    assert len(rows) == len(below["detections"])


def test_the_zarr_map_is_read_file_by_file_and_nothing_beside_it(client: httpx.Client, done: dict) -> None:
    root = done["links"]["map.ome.zarr"]
    answer = client.get(f"{root}/zarr.json")
    assert answer.headers["content-type"] == "application/json"
    level = json.loads(answer.text)["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"]
    assert client.get(f"{root}/{level}/zarr.json").json()["node_type"] == "array"
    for path in ("%2e%2e/run.json", "..%2f..%2fstore.sqlite", f"{level}/%2e%2e/%2e%2e/answer.json", "none"):
        assert client.get(f"{root}/{path}").status_code in {404, 422}, path


def test_what_was_not_asked_for_is_not_there(client: httpx.Client) -> None:
    plain = client.post("/detect", content=png(make_field(25))).json()
    assert "map.ome.zarr" not in plain["links"]
    assert client.get(f"/jobs/{plain['id']}/files/mitotic-figures.json").status_code == 404
    assert client.get(f"/jobs/{plain['id']}/files/map.ome.zarr/zarr.json").status_code == 404
    assert client.get(f"/jobs/{plain['id']}/files/answer.json").status_code == 404
    assert client.post("/detect", content=b"x", params={"export": "exe"}).status_code == 422
    dicom = client.post("/detect", content=png(make_field(25)), params={"export": "dicom"})
    assert dicom.status_code == 409, "a field cannot have DICOM annotations"
