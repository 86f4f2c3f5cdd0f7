"""The jobs over a real connection: followed, cancelled, looked at again at other thresholds, fetched."""

from __future__ import annotations

import csv
import io
import json

import httpx
import pytest

from tests.service.fields import make_field, make_large_field, png
from tests.service.server_process import Server

#: Big enough at stride 1 to be caught running.
LARGE = png(make_large_field(20))


@pytest.fixture(scope="module")
def done(server: Server) -> dict:
    """A finished job with candidates above and below its threshold."""
    answer = server.client.post("/detect", content=png(make_field(21)), params={"threshold": 0.3})
    return answer.raise_for_status().json()


def events(response: httpx.Response) -> list[tuple[str, dict]]:
    blocks = [block.splitlines() for block in response.read().decode().replace("\r\n", "\n").split("\n\n") if block]
    parsed = [
        dict(line.split(": ", 1) for line in block if ": " in line and not line.startswith(":")) for block in blocks
    ]
    return [(block["event"], json.loads(block["data"])) for block in parsed if "event" in block]


def test_threshold_changes_without_a_rescan(client: httpx.Client, done: dict) -> None:
    rows = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{done['id']}/files/detections.csv").text)))
    same = client.get(f"/jobs/{done['id']}/detections").json()
    assert same["detections"] == done["detections"]
    assert same["threshold"] == 0.3
    assert same["count"] == done["count"]
    assert len(rows) == len(same["detections"])
    lower = client.get(f"/jobs/{done['id']}/detections", params={"threshold": 0.05}).json()
    higher = client.get(f"/jobs/{done['id']}/detections", params={"threshold": 0.99}).json()
    assert len(lower["detections"]) >= len(same["detections"]) >= len(higher["detections"])
    assert [d for d in lower["detections"] if d["score"] >= 0.3] == done["detections"]
    rescanned = client.post("/detect", content=png(make_field(21)), params={"threshold": 0.05}).json()
    assert rescanned["detections"] == lower["detections"]
    assert rescanned["count"] == lower["count"]


def test_pages_hold_each_detection_once_by_falling_score(client: httpx.Client, done: dict) -> None:
    def page(**query: float) -> dict:
        return client.get(f"/jobs/{done['id']}/detections", params={"threshold": 0, **query}).raise_for_status().json()

    whole = page()
    assert whole["total"] == len(whole["detections"]) > 5
    pages = [page(limit=3, offset=offset) for offset in range(0, whole["total"] + 3, 3)]
    assert [one for answer in pages for one in answer["detections"]] == whole["detections"]
    assert {len(answer["detections"]) for answer in pages[: whole["total"] // 3]} == {3}
    assert {(answer["total"], answer["count"]) for answer in pages} == {(whole["total"], whole["count"])}
    scores = [one["score"] for one in whole["detections"]]
    assert scores == sorted(scores, reverse=True)
    for query in ({"limit": 0}, {"limit": 10_001}, {"offset": -1}, {"offset": 10**12}, {"limit": "many"}):
        refused = client.get(f"/jobs/{done['id']}/detections", params=query)
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


def test_geojson_and_json_say_the_same(client: httpx.Client, done: dict) -> None:
    features = client.get(done["links"]["detections.geojson"]).json()["features"]
    assert len(features) == len(done["detections"])


def test_events_tell_a_job_from_start_to_end(server: Server) -> None:
    job_id = server.submit(png(make_field(22)))
    with server.client.stream("GET", f"/jobs/{job_id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        told = events(response)
    assert told[-1][0] == "end"
    states = [job["status"] for event, job in told if event == "job"]
    assert states[-1] == "SUCCEEDED"
    assert sorted(states, key=["QUEUED", "RUNNING", "SUCCEEDED"].index) == states


def test_a_running_job_can_be_watched_and_cancelled(server: Server) -> None:
    job_id = server.submit(LARGE, stride="1")
    server.wait(job_id, "RUNNING")
    waiting_id = server.submit(png(make_field(23)))
    cancelled = server.client.delete(f"/jobs/{waiting_id}")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "CANCELLED"
    asked = server.client.delete(f"/jobs/{job_id}")
    assert asked.status_code == 202
    job = server.wait(job_id)
    assert job["status"] == "CANCELLED"
    again = server.client.delete(f"/jobs/{job_id}")
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"


def test_progress_is_told_in_tiles_and_area(server: Server) -> None:
    job_id = server.submit(LARGE, stride="2")
    with server.client.stream("GET", f"/jobs/{job_id}/events") as response:
        told = [job["progress"] for event, job in events(response) if event == "job"]
    assert told[-1]["tiles_done"] == told[-1]["tiles_total"] > 4
    assert told[-1]["mm2_done"] == pytest.approx(told[-1]["mm2_total"]) == pytest.approx(0.4225, rel=0.01)
    assert [step["tiles_done"] for step in told] == sorted(step["tiles_done"] for step in told)


def test_jobs_are_listed_newest_first_and_page_by_page(client: httpx.Client, done: dict) -> None:
    seen, address = [], "/jobs?limit=2&state=SUCCEEDED"
    while address:
        page = client.get(address).raise_for_status().json()
        seen += page["jobs"]
        address = page["next"]
    assert done["id"] in {job["id"] for job in seen}
    assert len({job["id"] for job in seen}) == len(seen)
    assert [job["created_at"] for job in seen] == sorted((job["created_at"] for job in seen), reverse=True)
    assert "detections" not in seen[0]


def test_models_health_and_metrics(client: httpx.Client, done: dict) -> None:
    models = client.get("/models").json()
    assert "Research use only" in models["notice"]
    tiny = next(card for card in models["models"] if card["name"] == "tiny")
    assert {"name", "version", "mpp", "patch_size", "stride", "threshold", "radius_um"} <= set(tiny)
    ready = client.get("/readyz").json()
    assert ready == {"status": "ready", "checks": dict.fromkeys(("store", "disk", "model", "worker"), True)}
    text = client.get("/metrics").text
    assert 'mitoscan_jobs{state="succeeded"}' in text
    assert "mitoscan_workers_alive 1.0" in text
    assert "http_requests_total" in text
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").json()["info"]["title"] == "mitoscan"
