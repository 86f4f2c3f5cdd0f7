"""A region of a slide is scanned again, by real workers; and what is none is refused with its reason."""

from __future__ import annotations

import csv
import io

import pytest

from tests.service.api.problems import problem
from tests.service.api.regions import polygon
from tests.service.fields import make_field, png
from tests.service.server_process import Server

#: Level-0 px of the fields; 0.25 um each.
WIDTH, HEIGHT = 640, 512
#: Whole cells of 32 px: left, top, right, bottom.
INSIDE = (64, 96, 320, 288)


def is_inside(detection: dict, *, margin: float = 0) -> bool:
    """Whether a detection lies in INSIDE, so many px from its border; pixel centres are integers."""
    left, top, right, bottom = INSIDE
    x, y = detection["x"] + 0.5, detection["y"] + 0.5
    return left + margin <= x < right - margin and top + margin <= y < bottom - margin


@pytest.fixture(scope="module")
def whole(server: Server) -> dict:
    """A finished scan of a whole field."""
    query = {"name": "slide-7.svs", "case": "S26-7", "threshold": 0.01, "priority": "high"}
    answer = server.client.post("/detect", content=png(make_field(301, HEIGHT, WIDTH)), params=query)
    return answer.raise_for_status().json()


@pytest.fixture(scope="module")
def part(server: Server, whole: dict) -> dict:
    """A finished scan of a part of it."""
    answer = server.client.post(f"/jobs/{whole['id']}/rescan", json={"region": polygon(*INSIDE)})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    return server.wait(answer.json()["id"])


def test_a_region_is_scanned_and_nothing_else(whole: dict, part: dict) -> None:
    assert part["status"] == "SUCCEEDED", part["problem"]
    assert part["region"] == polygon(*INSIDE)
    assert part["area_mm2"]["scanned"] == pytest.approx((320 - 64) * (288 - 96) * 0.25**2 / 1e6)
    assert part["area_mm2"]["tissue"] <= part["area_mm2"]["scanned"] < whole["area_mm2"]["scanned"]
    assert part["detections"]
    assert all(is_inside(one) for one in part["detections"])
    # Away from the region's border, where smoothing sees the same map, it is the whole slide's scan.
    places = [
        {(one["x"], one["y"], round(one["score"], 5)) for one in job["detections"] if is_inside(one, margin=40)}
        for job in (whole, part)
    ]
    assert places[0] == places[1] != set()


def test_a_rescan_says_what_it_is_of(server: Server, whole: dict, part: dict) -> None:
    assert (part["name"], part["case"], part["rescan_of"]) == ("slide-7.svs", "S26-7", whole["id"])
    assert part["links"]["parent"] == f"/jobs/{whole['id']}"
    assert part["threshold"] == whole["threshold"], "as the scan before, where nothing else is asked for"
    assert part["priority"] == "normal"
    assert (whole["rescan_of"], whole["region"]) == (None, None)
    siblings = server.client.get(whole["links"]["siblings"]).raise_for_status().json()["jobs"]
    assert [(one["id"], one["rescan_of"]) for one in siblings] == [(part["id"], whole["id"])]
    (parent,) = server.client.get(part["links"]["siblings"]).raise_for_status().json()["jobs"]
    assert parent["id"] == whole["id"]
    table = server.client.get("/jobs.csv", params={"search": "S26-7"}).text
    assert {row["id"]: row["rescan_of"] for row in csv.DictReader(io.StringIO(table))} == {
        whole["id"]: "",
        part["id"]: whole["id"],
    }


def test_the_reports_say_that_it_is_a_region(server: Server, whole: dict, part: dict) -> None:
    report, reviewed, run, mask = (
        server.client.get(f"/jobs/{part['id']}/files/{name}").raise_for_status()
        for name in ("report.html", "report.reviewed.html", "run.json", "region.geojson")
    )
    assert "Only a part of the slide was scanned, that of region.geojson" in report.text
    assert "are of that region, x 64 to 320, y 96 to 288 px, 4 corners" in reviewed.text
    assert run.json()["settings"]["mask"]["name"] == "region.geojson"
    assert mask.json()["geometry"] == polygon(*INSIDE)
    assert "region.geojson" in {file["name"] for file in server.client.get(part["links"]["files"]).json()["files"]}
    of_whole = server.client.get(f"/jobs/{whole['id']}/files/report.html").text
    assert "Only a part" not in of_whole
    problem(server.client.get(f"/jobs/{whole['id']}/files/region.geojson"), 404)


def test_the_region_is_part_of_what_makes_a_result(server: Server, whole: dict, part: dict) -> None:
    where = f"/jobs/{whole['id']}/rescan"
    same = server.client.post(where, json={"region": polygon(*INSIDE)}).json()
    assert (same["cached"], same["status"], same["detections"]) == (True, "SUCCEEDED", part["detections"])
    feature = {"type": "Feature", "geometry": polygon(*INSIDE), "properties": {"name": "drawn in QuPath"}}
    assert server.client.post(f"/jobs/{part['id']}/rescan", json={"region": feature}).json()["cached"]
    for body in (
        {"region": polygon(64, 96, 321, 288)},
        {"region": polygon(*INSIDE), "threshold": 0.5},
        {"region": polygon(*INSIDE), "stride": 8},
    ):
        other = server.client.post(where, json=body).raise_for_status().json()
        assert not other["cached"]
        assert server.wait(other["id"])["threshold"] == body.get("threshold", 0.01)
    again = server.client.post("/detect", content=png(make_field(301, HEIGHT, WIDTH)), params={"threshold": 0.01})
    assert again.json()["detections"] == whole["detections"], "the whole slide is another result"


def test_a_region_without_tissue_has_a_result_of_nothing(server: Server) -> None:
    pixels = make_field(302, HEIGHT, WIDTH)
    pixels[:, 320:] = 243
    job = server.client.post("/detect", content=png(pixels)).raise_for_status().json()
    answer = server.client.post(f"/jobs/{job['id']}/rescan", json={"region": polygon(480, 100, 600, 300)})
    empty = server.wait(answer.json()["id"])
    assert (empty["status"], empty["count"], empty["area_mm2"]["tissue"]) == ("SUCCEEDED", 0, 0.0)
