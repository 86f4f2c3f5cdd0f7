"""The review over HTTP, as a client sees it: what the contract says, and what must not be lost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server


@pytest.fixture(scope="module")
def body() -> bytes:
    return png(make_field(77, height=220, width=260))


@pytest.fixture(scope="module")
def threshold(server: Server, body: bytes) -> str:
    """A threshold with as many candidates above it as below."""
    scores = sorted(one["score"] for one in candidates_of(server.client, scanned(server, body)) if not one["border"])
    assert len(scores) > 5
    return f"{scores[len(scores) // 2]:.6f}"


@pytest.fixture
def job(server: Server, body: bytes, threshold: str) -> dict:
    """A job of its own, with several candidates, some of them detections."""
    return scanned(server, body, threshold=threshold)


def candidates_of(client: httpx.Client, job: dict) -> list[dict]:
    found: list[dict] = client.get(f"/jobs/{job['id']}/detections", params={"threshold": 0}).json()["detections"]
    return found


def review_of(client: httpx.Client, job: dict) -> dict:
    answer = client.get(f"/jobs/{job['id']}/review").raise_for_status()
    found: dict = answer.json()
    return found


def put(client: httpx.Client, job: dict, mark: str, verdict: str, **query: str) -> httpx.Response:
    return client.put(f"/jobs/{job['id']}/review/marks/{mark}", json={"verdict": verdict}, params=query)


def test_verdicts_change_the_reviewed_count_and_nothing_that_the_model_said(server: Server, job: dict) -> None:
    client, where = server.client, f"/jobs/{job['id']}"
    names = ("detections.geojson", "detections.csv", "candidates.csv", "run.json", "report.html")
    before = {name: client.get(f"{where}/files/{name}").content for name in names}
    model = job["count"]
    assert review_of(client, job)["count"] == {"model": model, "reviewed": model, "open": model}
    inner = [one for one in candidates_of(client, job) if not one["border"]]
    counted = [one for one in inner if one["score"] >= job["threshold"]]
    below = [one for one in inner if one["score"] < job["threshold"]]
    assert counted
    assert below
    assert put(client, job, counted[0]["id"], "rejected").status_code == 200
    assert put(client, job, below[0]["id"], "accepted").json()["verdict"] == "accepted"
    added = client.post(f"{where}/review/marks", json={"x": 12.5, "y": 30, "note": "late"})
    assert added.status_code == 201
    assert added.headers["Location"].endswith(added.json()["id"])
    review = review_of(client, job)
    assert review["count"] == {"model": model, "reviewed": model + 1, "open": model - 1}
    assert {mark["id"]: mark["verdict"] for mark in review["marks"]} == {
        counted[0]["id"]: "rejected",
        below[0]["id"]: "accepted",
        added.json()["id"]: "added",
    }
    assert {mark["by"] for mark in review["marks"]} == {"local"}
    assert {name: client.get(f"{where}/files/{name}").content for name in names} == before
    assert client.delete(f"{where}/review/marks/{counted[0]['id']}").status_code == 204
    assert client.delete(f"{where}/review/marks/{counted[0]['id']}").status_code == 404
    assert review_of(client, job)["count"]["reviewed"] == model + 2


def test_the_hotspot_is_that_of_the_reviewed_figures(server: Server, job: dict) -> None:
    client, where = server.client, f"/jobs/{job['id']}"
    assert review_of(client, job)["hotspot"] == pytest.approx(job["hotspots"][0], abs=1e-6)
    for one in job["detections"]:
        put(client, job, one["id"], "rejected")
    assert review_of(client, job)["hotspot"] is None
    client.post(f"{where}/review/marks", json={"x": 40, "y": 50})
    spot = review_of(client, job)["hotspot"]
    assert spot["count"] == 1
    assert spot["x"] <= 40 < spot["x"] + spot["width"]


def test_ids_are_the_same_everywhere(server: Server, job: dict) -> None:
    client, where = server.client, f"/jobs/{job['id']}/files"
    ids = [one["id"] for one in job["detections"]]
    rows = csv.DictReader(io.StringIO(client.get(f"{where}/detections.csv").text))
    assert [row["id"] for row in rows] == ids
    features = client.get(f"{where}/detections.geojson").json()["features"]
    assert [feature["id"] for feature in features] == ids
    assert len(set(ids)) == len(ids)


def test_the_files_hold_what_counts(server: Server, job: dict) -> None:
    client, where = server.client, f"/jobs/{job['id']}"
    first = next(one for one in candidates_of(client, job) if not one["border"])
    put(client, job, first["id"], "rejected")
    client.post(f"{where}/review/marks", json={"x": 3, "y": 4, "label": "mitosis", "note": 'a "note", ü'})
    expected = review_of(client, job)["count"]["reviewed"]
    table = client.get(f"{where}/files/detections.reviewed.csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len(rows) == expected
    assert first["id"] not in {row["id"] for row in rows}
    assert (rows[-1]["verdict"], rows[-1]["note"], rows[-1]["x"]) == ("added", 'a "note", ü', "3.000")
    features = client.get(f"{where}/files/detections.reviewed.geojson").json()["features"]
    assert [feature["id"] for feature in features] == [row["id"] for row in rows]
    assert features[-1]["properties"]["metadata"]["by"] == "local"


def test_two_reviewers_keep_their_own_verdicts(server: Server, job: dict) -> None:
    client = server.client
    inner = [one["id"] for one in candidates_of(client, job) if not one["border"]][:4]
    for mark in inner:
        put(client, job, mark, "accepted", reviewer="Anna")
    put(client, job, inner[0], "rejected", reviewer="Bert")
    put(client, job, inner[1], "accepted", reviewer="Bert")
    review = review_of(client, job)
    assert len(review["marks"]) == len(inner) + 2
    (agreement,) = review["agreement"]
    assert agreement["reviewers"] == ["Anna", "Bert"]
    assert (agreement["both"], agreement["differ"]) == (2, [inner[0]])
    client.delete(f"/jobs/{job['id']}/review/marks/{inner[0]}", params={"reviewer": "Bert"})
    assert {mark["by"] for mark in review_of(client, job)["marks"] if mark["id"] == inner[0]} == {"Anna"}


def test_two_clients_at_once_lose_nothing(server: Server, job: dict) -> None:
    def add(number: int) -> int:
        answer = server.client.post(
            f"/jobs/{job['id']}/review/marks",
            json={"x": number % 50 * 5, "y": number // 50 * 5},
            params={"reviewer": f"reader {number % 2}"},
        )
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, range(100))) == {201}
    assert len(review_of(server.client, job)["marks"]) == 100


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "kind"),
    [
        ("PUT", "marks/nothing", {"verdict": "accepted"}, 404, "mark-not-found"),
        ("DELETE", "marks/nothing", None, 404, "mark-not-found"),
        ("PUT", "marks/{known}", {"verdict": "perhaps"}, 422, "invalid-request"),
        ("PUT", "marks/{known}", {"verdict": "added"}, 422, "invalid-request"),
        ("PUT", "marks/{known}", {"verdict": "accepted", "score": 1}, 422, "invalid-request"),
        ("PUT", "marks/{known}", {"verdict": "accepted", "note": "x" * 2001}, 422, "invalid-request"),
        ("POST", "marks", {"x": -1, "y": 5}, 422, "invalid-request"),
        ("POST", "marks", {"x": 5, "y": 220}, 422, "invalid-request"),
        ("POST", "marks", {"x": False, "y": 5}, 422, "invalid-request"),
        ("POST", "marks", {"x": 5}, 422, "invalid-request"),
    ],
)
def test_what_is_no_verdict_is_refused(
    server: Server, job: dict, method: str, path: str, content: dict | None, status: int, kind: str
) -> None:
    known = candidates_of(server.client, job)[0]["id"]
    where = f"/jobs/{job['id']}/review/{path.format(known=known)}"
    answer = server.client.request(method, where, json=content)
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:mitoscan:{kind}"
    assert review_of(server.client, job)["marks"] == []


def test_a_job_without_a_result_has_no_review(server: Server) -> None:
    answer = server.client.post("/detect", content=b"no slide", headers={"Prefer": "respond-async"})
    if answer.status_code == 202:
        failed = server.wait(answer.json()["id"])
        assert server.client.get(f"/jobs/{failed['id']}/review").status_code == 409
    assert server.client.get("/jobs/nothing/review").status_code == 404


@pytest.fixture
def own_server(tmp_path: Path, models_folder: Path) -> Callable[[], Server]:
    """Starts a server on one folder, as often as wanted."""
    return lambda: Server(tmp_path, models_folder, MITOSCAN_REQUESTS_PER_MINUTE="1000000")


def test_verdicts_survive_kills_and_retention(own_server: Callable[[], Server], tmp_path: Path, body: bytes) -> None:
    running = own_server().start()
    job = scanned(running, body)
    answered: list[str] = []

    def add(number: int) -> None:
        try:
            answer = running.client.post(f"/jobs/{job['id']}/review/marks", json={"x": number, "y": 1})
        except httpx.HTTPError:
            return
        if answer.status_code == 201:
            answered.append(answer.json()["id"])
        if len(answered) == 100:
            running.kill([running.process.pid])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(200)))
    running.process.wait(20)
    running.client.close()
    assert len(answered) >= 100
    with own_server().start() as running:
        review = review_of(running.client, job)
        assert set(answered) <= {mark["id"] for mark in review["marks"]}
        (folder,) = [one for one in (tmp_path / "data" / "results").iterdir() if len(one.name) == 64]
        # Where figures are densest depends on the tissue, which goes with the files.
        kept = json.dumps(review | {"hotspot": None}, sort_keys=True)
        folder.rename(tmp_path / "gone")
        assert json.dumps(review_of(running.client, job), sort_keys=True) == kept
        assert put(running.client, job, answered[0], "rejected").status_code == 200
        assert running.client.get(f"/jobs/{job['id']}/files/detections.reviewed.csv").status_code == 410


def test_purging_a_job_purges_its_review(own_server: Callable[[], Server], body: bytes) -> None:
    with own_server().start() as running:
        job = scanned(running, body)
        running.client.post(f"/jobs/{job['id']}/review/marks", json={"x": 1, "y": 1})
        assert running.client.delete(f"/jobs/{job['id']}", params={"purge": True}).status_code == 204
        assert running.client.get(f"/jobs/{job['id']}/review").status_code == 404
