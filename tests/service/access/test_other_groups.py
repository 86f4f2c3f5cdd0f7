"""No key reaches what another group owns, by any path and verb that the API describes, new routes included."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from service.access.keys import hash_key
from service.api.app import create_app
from service.api.running.context import Service
from service.jobs import lifecycle
from service.results.results import FILES, Answer
from service.settings import Settings
from tests.service.fields import make_field, png

SIDE = 128
KEYS = {
    f"{group}-{role}": f"{role}:{group}:{hash_key(f'{group}-{role}')}"
    for group in ("pathology", "dermatology")
    for role in ("read", "review", "submit")
} | {"prometheus": f"metrics:{hash_key('prometheus')}", "root": f"admin:{hash_key('root')}"}
OTHERS = ("dermatology-read", "dermatology-review", "dermatology-submit", "prometheus")
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
#: What needs no key.
FOR_ALL = {("GET", "/healthz"), ("GET", "/readyz"), ("HEAD", "/healthz"), ("HEAD", "/readyz")}
#: Its part of the path is the name of a new upload, not of one that is there.
NAMES_A_NEW_ONE = ("PUT", "/uploads/{upload}")
REGION = {"type": "Polygon", "coordinates": [[[0, 0], [SIDE, 0], [SIDE, SIDE], [0, 0]]]}
BODIES = {"VerdictIn": {"verdict": "accepted"}, "FigureIn": {"x": 5, "y": 6}, "RescanIn": {"region": REGION}}


@dataclass(frozen=True)
class Place:
    """A service in this process, what the group `pathology` has there, and where."""

    client: TestClient
    service: Service
    #: Name of a part of a path -> its value.
    parts: dict[str, str]
    #: path -> verb -> the operation, as the API describes it.
    described: dict[str, dict[str, Any]]

    def ask(self, verb: str, path: str, key: str | None, **parts: str) -> httpx2.Response:
        """The answer to this key, or to none."""
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"} | ({"X-API-Key": key} if key else {})
        body: dict[str, Any] = {"content": b""}
        content = self.described[path].get(verb.lower(), {}).get("requestBody", {}).get("content", {})
        if "application/offset+octet-stream" in content:
            headers["Content-Type"] = "application/offset+octet-stream"
        elif schema := content.get("application/json", {}).get("schema"):
            body = {"json": BODIES.get(schema["$ref"].rpartition("/")[2], {})}
        return self.client.request(verb, path.format_map(self.parts | parts), headers=headers, **body)

    def operations(self) -> Iterator[tuple[str, str]]:
        """(verb, path) of what the API describes."""
        for path, described in self.described.items():
            yield from ((verb.upper(), path) for verb in described if verb.upper() in VERBS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Place]:
    settings = Settings(
        data=tmp_path_factory.mktemp("groups"),
        models=models_folder,
        default_model="tiny",
        api_keys=KEYS,
        min_free_bytes=1,
        requests_per_minute=1_000_000,
    )
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Place(client, app.state.service, begin(client, app.state.service), app.openapi()["paths"])


def begin(client: TestClient, service: Service) -> dict[str, str]:
    """Parts of paths that lead to a job with a result, to an upload and to one that is unfinished."""
    headers = {"X-API-Key": "pathology-submit"}
    upload = client.put("/uploads/a.png", content=png(make_field(7)), headers=headers).raise_for_status().json()["id"]
    asked = {"source": {"upload": upload}}
    job = client.post("/detect", json=asked, headers=headers | {"Prefer": "respond-async"}).raise_for_status().json()
    finish(service, job["id"])
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "100"}
    unfinished = client.post("/uploads/tus", headers=headers | tus).raise_for_status().headers["location"]
    return {
        "job_id": job["id"],
        "upload": upload,
        "upload_id": unfinished.rpartition("/")[2],
        "mark_id": "one",
        "name": "run.json",
        "path": "zarr.json",
        "level": "0",
        "col": "0",
        "row": "0",
        "x": "9",
        "y": "9",
    }


def finish(service: Service, job_id: str) -> None:
    """Give the job a result, as a worker would."""
    job = service.store.update(job_id, partial(lifecycle.start, worker="w", now=time.time()))
    work = service.results.work_folder(job_id)
    (work / "map.ome.zarr").mkdir()
    for name in (*FILES, "map.ome.zarr/zarr.json", "regions.json"):
        (work / name).write_bytes(png(make_field(7)) if name.endswith(".png") else b"{}")
    (work / "run.json").write_text('{"settings": {"hotspot": "2"}, "slide": {}}')
    ring = [[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE], [0, 0]]
    (work / "tissue.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    figure = {"id": "one", "x": 9.0, "y": 9.0, "x_um": 2.0, "y_um": 2.0, "score": 0.9, "label": "f", "border": False}
    answer = Answer(
        model={"name": "tiny", "version": "1", "sha256": "0" * 64},
        image={"width": SIDE, "height": SIDE, "mpp": 0.25, "mpp_source": "tags", "index": 0, "images": []},
        count=1,
        threshold=0.5,
        candidate_floor=0.1,
        candidates=[figure],
        hotspots=[],
        area_mm2={"tissue": 1.0, "scanned": 1.0, "unreadable": 0.0, "ink": 0.0},
        warnings=[],
    )
    service.results.publish(work, job.request.result_key, answer)
    service.store.update(job_id, partial(lifecycle.finish, now=time.time()))


def test_without_a_key_nothing_is_told(place: Place) -> None:
    described = set(place.operations())
    assert len(place.described) >= 28
    for path in place.described:
        for verb in VERBS:
            for key in (None, "pathology-submit "):
                status = place.ask(verb, path, key).status_code
                if (verb, path) in FOR_ALL:
                    assert status in {200, 405, 503}
                elif (verb, path) in described:
                    assert status == 401, (verb, path)
                else:
                    assert status in {401, 405}, (verb, path)


def test_what_another_group_owns_does_not_exist(place: Place) -> None:
    before = state(place)
    owned = [path for path in place.described if "{" in path]
    nowhere = {"job_id": "0" * 32, "upload": "0" * 64, "upload_id": "0" * 32}
    for key in OTHERS:
        for path in owned:
            for verb in VERBS:
                if (verb, path) == NAMES_A_NEW_ONE:
                    continue
                told, of_nothing = place.ask(verb, path, key), place.ask(verb, path, key, **nowhere)
                assert told.status_code == of_nothing.status_code, (key, verb, path)
                assert told.status_code in {403, 404, 405}, (key, verb, path)
                is_described = verb.lower() in place.described[path]
                if is_described and verb != "HEAD":
                    assert told.json()["type"] == of_nothing.json()["type"], (key, verb, path)
                if is_described and key == "dermatology-submit":
                    assert told.status_code == 404, (verb, path)
        if key != "prometheus":
            assert place.ask("GET", "/jobs", key).json()["jobs"] == []
    assert state(place) == before, "what was refused has changed nothing"


def state(place: Place) -> list[Any]:
    """What the group has: jobs, marks, and files."""
    store, folder = place.service.store, place.service.settings.uploads
    jobs = store.list_jobs()
    return [jobs, [place.service.reviews.marks(job.id) for job in jobs], sorted(folder.rglob("*"))]


def test_a_slide_is_used_by_the_group_that_sent_it_alone(place: Place) -> None:
    asked = {"source": {"upload": place.parts["upload"]}}
    told = place.client.post("/detect", json=asked, headers={"X-API-Key": "dermatology-submit"})
    assert (told.status_code, told.json()["type"]) == (404, "urn:mitoscan:source-not-found")
    own = place.client.post("/detect", json=asked, headers={"X-API-Key": "pathology-submit"}).json()
    assert own["cached"]
    assert own["status"] == "SUCCEEDED"


def test_the_same_slide_sent_by_another_group_is_stored_once_and_scanned_again(place: Place) -> None:
    headers = {"X-API-Key": "dermatology-submit"}
    body = png(make_field(7))
    stored = list(place.service.settings.uploads.glob("*/slide.png"))
    sent = place.client.put("/uploads/b.png", content=body, headers=headers).raise_for_status().json()
    assert sent["id"] == place.parts["upload"]
    assert list(place.service.settings.uploads.glob("*/slide.png")) == stored
    job = place.client.post("/detect", content=body, headers=headers | {"Prefer": "respond-async"}).json()
    assert (job["status"], job["cached"]) == ("QUEUED", False), "that the result exists would tell who has the slide"
    for leftover in (f"/jobs/{job['id']}?purge=true", f"/uploads/{sent['id']}"):
        assert place.client.delete(leftover, headers=headers).status_code in {204, 404}
    assert list(place.service.settings.uploads.glob("*/slide.png")) == stored


@pytest.mark.parametrize("key", ["pathology-read", "pathology-review", "pathology-submit", "root"])
def test_who_reads_sees_everything_of_the_group(place: Place, key: str) -> None:
    jobs = place.ask("GET", "/jobs", key).json()["jobs"]
    assert place.parts["job_id"] in {job["id"] for job in jobs}
    for verb, path in place.operations():
        if verb == "GET" and path != "/metrics":
            status = place.ask(verb, path, key).status_code
            assert status not in {401, 403, 404}, path
            assert status < 500 or path == "/readyz", path


@pytest.mark.parametrize("key", ["pathology-read", "pathology-review", "prometheus"])
def test_a_role_changes_what_it_is_for_and_nothing_else(place: Place, key: str) -> None:
    for verb, path in place.operations():
        is_review = "/review" in path and key == "pathology-review"
        if verb not in {"GET", "HEAD"} and not is_review:
            assert place.ask(verb, path, key).status_code == 403, (verb, path)
    assert place.ask("GET", "/metrics", key).status_code == (200 if key == "prometheus" else 403)
    if key == "prometheus":
        assert place.ask("GET", "/jobs", key).status_code == 403


def test_a_verdict_is_given_by_who_reviews(place: Place) -> None:
    mark = "/jobs/{job_id}/review/marks/{mark_id}"
    assert place.ask("PUT", mark, "pathology-review").json()["by"] == "pathology-review"
    seen = place.ask("GET", "/jobs/{job_id}/review", "pathology-read").json()["marks"]
    assert [(one["id"], one["verdict"]) for one in seen] == [("one", "accepted")]
    assert place.ask("DELETE", mark, "pathology-submit").status_code == 404, "another's verdict"
    assert place.ask("DELETE", mark, "pathology-review").status_code == 204


def test_an_admin_who_retries_a_groups_job_leaves_it_to_the_group(place: Place) -> None:
    store = place.service.store
    job = store.get(place.parts["job_id"])
    failed = replace(job, id="f" * 32, state=lifecycle.JobState.FAILED, idempotency_key=None)
    store.insert(failed, enqueue=lambda _connection: None)
    again = place.ask("POST", "/jobs/{job_id}/retry", "root", job_id=failed.id).json()
    assert store.get(again["id"]).client == "pathology"


def test_the_owner_is_refused_nothing_that_others_were(place: Place) -> None:
    """Last, for it deletes: a path that leads nowhere would have let every other test pass."""
    own = [(verb, path) for verb, path in place.operations() if "{" in path and verb != "GET"]
    own.sort(key=lambda operation: (operation[0] == "DELETE", -len(operation[1])))
    for verb, path in own:
        if (verb, path) != NAMES_A_NEW_ONE:
            assert place.ask(verb, path, "pathology-submit").status_code not in {401, 403, 404, 405}, (verb, path)
