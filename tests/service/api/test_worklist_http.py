"""The list of jobs over a real connection: searched, sorted, paged, as a table and as a zip."""

from __future__ import annotations

import base64
import csv
import io
import json
import uuid
import zipfile

import httpx
import pytest

from tests.service.api.problems import problem
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server

#: A case of this run's own: the server is shared.
CASE = f"=Case {uuid.uuid4().hex}"
NAMES = ("+10.svs", '@sum,"Ä"', "-x' <b>.svs")


@pytest.fixture(scope="module")
def jobs(server: Server) -> list[dict]:
    """Three jobs of one case; the first has a verdict."""
    done = [
        scanned(server, png(make_field(140 + n)), name=name, case=CASE, threshold="0.3") for n, name in enumerate(NAMES)
    ]
    verdict = f"/jobs/{done[0]['id']}/review/marks/{done[0]['detections'][0]['id']}"
    server.client.put(verdict, json={"verdict": "rejected"}).raise_for_status()
    return done


def listed(client: httpx.Client, **query: object) -> dict:
    return client.get("/jobs", params={"search": CASE.upper(), **query}).raise_for_status().json()


def test_a_search_finds_name_and_case_and_says_what_was_counted(client: httpx.Client, jobs: list[dict]) -> None:
    found = listed(client, sort="created")
    assert [one["id"] for one in found["jobs"]] == [one["id"] for one in jobs]
    assert (found["total"], found["offset"], found["next"], found["previous"]) == (3, 0, None, None)
    for one, job in zip(found["jobs"], jobs, strict=True):
        report = client.get(f"/jobs/{job['id']}/files/run.json").json()
        assert (one["name"], one["case"], one["count"]) == (job["name"], CASE, job["count"])
        assert one["per_mm2"] == pytest.approx(report["count_per_mm2"], rel=1e-6)
    first, second, _ = found["jobs"]
    review = client.get(f"/jobs/{jobs[0]['id']}/review").json()
    assert (first["review"], first["reviewed"]) == ("started", review["count"]["reviewed"])
    assert first["reviewed_per_mm2"] == pytest.approx(review["per_mm2"], rel=1e-6)
    assert (second["review"], second["reviewed"]) == ("none", None)
    assert [one["id"] for one in listed(client, review="started")["jobs"]] == [jobs[0]["id"]]
    assert listed(client, review="none", status="SUCCEEDED")["total"] == 2
    assert listed(client, status="FAILED")["total"] == listed(client, status="SUCCEEDED", state="FAILED")["total"] == 0
    assert client.get("/jobs", params={"search": '@SUM,"Ä'}).json()["jobs"][0]["name"] == NAMES[1]


def test_pages_lead_on_and_back(client: httpx.Client, jobs: list[dict]) -> None:
    pages = [listed(client, sort="-per_mm2", limit=1)]
    while link := pages[-1]["next"]:
        pages.append(client.get(link).raise_for_status().json())
    values = [page["jobs"][0]["per_mm2"] for page in pages]
    assert values == sorted((one["per_mm2"] for one in listed(client)["jobs"]), reverse=True)
    assert [page["offset"] for page in pages] == [0, 1, 2]
    assert client.get(pages[2]["previous"]).json() == pages[1]
    again = listed(client, sort="-per_mm2", limit=3)
    assert [one["id"] for one in again["jobs"]] == [page["jobs"][0]["id"] for page in pages]


def cursor(*said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "sort=colour",
        "sort=--name",
        "limit=-1",
        "limit=1001",
        f"search={'x' * 201}",
        "status=LOST",
        "review=maybe",
        "cursor=",
        "cursor=x",
        "cursor=%C3%A4",
        f"cursor={'A' * 5000}",
        f"cursor={cursor('name', 'a', 'b', False)}",
        f"cursor={cursor('created', 'a', 'b', False)}",
        f"cursor={cursor('created', True, 'b', False)}",
        f"cursor={cursor('created', 10**40, 'b', False)}",
        f"cursor={cursor('created', float('nan'), 'b', False)}",
        f"cursor={cursor('created', 1, None, False)}",
        f"cursor={cursor('created', 1, 'b')}",
        f"sort=name&cursor={cursor('name', chr(0), 'b', False)}",
        f"sort=name&cursor={cursor('name', chr(0xD800), 'b', False)}",
        f"cursor={base64.b64encode(b'[' * 3000).decode().rstrip('=')}",
    ],
)
def test_a_list_that_makes_no_sense_is_refused(client: httpx.Client, query: str) -> None:
    problem(client.get(f"/jobs?{query}"), 422)


def test_the_table_has_the_same_jobs_and_no_formula(client: httpx.Client, jobs: list[dict]) -> None:
    answer = client.get("/jobs.csv", params={"search": CASE, "sort": "name"}).raise_for_status()
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    right = listed(client, sort="name")["jobs"]
    assert [row["id"] for row in rows] == [one["id"] for one in right]
    assert [(row["name"], row["case"]) for row in rows] == [(f"'{one['name']}", f"'{CASE}") for one in right]
    for row, one in zip(rows, right, strict=True):
        assert (row["status"], row["count"], row["review"]) == ("SUCCEEDED", str(one["count"]), one["review"])
        assert float(row["per_mm2"]) == pytest.approx(one["per_mm2"], abs=1e-6)
        assert row["reviewed"] == ("" if one["reviewed"] is None else str(one["reviewed"]))
    problem(client.get("/jobs.csv?sort=colour"), 422)


def test_a_zip_has_the_files_as_they_are_shown(client: httpx.Client, jobs: list[dict]) -> None:
    where = f"/jobs/{jobs[0]['id']}/files"
    with zipfile.ZipFile(io.BytesIO(client.get(f"{where}.zip").raise_for_status().content)) as archive:
        assert archive.testzip() is None
        names = [file["name"] for file in client.get(where).json()["files"]]
        assert archive.namelist() == [*names, "detections.reviewed.csv", "detections.reviewed.geojson"]
        for name in archive.namelist():
            assert archive.read(name) == client.get(f"{where}/{name}").content, name
    ids = [jobs[1]["id"], jobs[0]["id"], jobs[1]["id"]]
    answer = client.get("/jobs.zip", params={"id": ids}).raise_for_status()
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name.partition("/")[0] for name in archive.namelist()} == {"jobs.csv", *ids}
        table = csv.DictReader(io.StringIO(archive.read("jobs.csv").decode()))
        assert {row["id"]: row["name"] for row in table} == {one["id"]: f"'{one['name']}" for one in jobs[:2]}
        for job in jobs[:2]:
            assert json.loads(archive.read(f"{job['id']}/run.json"))["slide"]["name"] == f"{CASE} · {job['name']}"


def test_a_zip_of_what_is_not_there_is_refused(client: httpx.Client, jobs: list[dict]) -> None:
    problem(client.get("/jobs.zip"), 422)
    problem(client.get("/jobs.zip", params={"id": ["x"] * 101}), 422)
    problem(client.get("/jobs.zip", params={"id": "../x"}), 422)
    problem(client.get("/jobs.zip", params={"id": [jobs[0]["id"], "nothing"]}), 404)
    problem(client.get("/jobs/nothing/files.zip"), 404)
    source = {"source": {"url": "s3://slides/open/nothing.svs"}}
    failed = client.post("/detect", json=source, headers={"Prefer": "respond-async"}).raise_for_status().json()["id"]
    problem(client.get("/jobs.zip", params={"id": failed}), 409)
    problem(client.get(f"/jobs/{failed}/files.zip"), 409)
