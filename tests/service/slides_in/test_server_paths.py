"""Slides that are named instead of sent: objects in a store, changed files on the server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.service.fields import make_field, png
from tests.service.local_servers import ObjectStore
from tests.service.server_process import Server

pytest.importorskip("obstore")


def test_an_object_is_the_slide_that_it_holds(server: Server, object_store: ObjectStore) -> None:
    field = png(make_field(50))
    (object_store.folder / "slides" / "open" / "2026").mkdir(parents=True)
    (object_store.folder / "slides" / "open" / "2026" / "17.png").write_bytes(field)
    (object_store.folder / "slides" / "secret").mkdir()
    (object_store.folder / "slides" / "secret" / "18.png").write_bytes(field)
    sent = server.client.post("/detect", content=field).json()
    named = server.client.post("/detect", json={"source": {"url": "s3://slides/open/2026/17.png"}})
    assert named.status_code == 200, named.text
    assert named.json()["cached"]
    assert named.json()["name"] == "17.png"
    assert named.json()["detections"] == sent["detections"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("s3://slides/open/none.png", 404),
        ("s3://slides/open//17.png", 404),
        ("s3://slides/open/a\0b", 404),
        ("s3://slides/open/", 404),
        ("s3://slides/secret/18.png", 403),
        ("s3://slides/open/../secret/18.png", 403),
        ("s3://slides/open/%2e%2e/secret/18.png", 403),
        ("s3://slides/opened/18.png", 403),
        ("s3://other/open/18.png", 403),
        ("s3://slides@evil/open/18.png", 403),
        ("s3://slides/open/a.png?versionId=1", 403),
        ("gs://slides/open/18.png", 403),
        ("file:///slides/open/18.png", 403),
        ("memory:///open/18.png", 403),
        ("http://127.0.0.1:22/", 403),
        ("http://169.254.169.254/latest/meta-data/", 403),
        ("http://[::ffff:127.0.0.1]/", 403),
        ("gopher://slides/open/", 403),
        ("S3://slides/open/../../x", 403),
    ],
)
def test_nothing_beside_the_allow_list_is_fetched(server: Server, url: str, status: int) -> None:
    answer = server.client.post("/detect", json={"source": {"url": url}})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture
def held(object_store: ObjectStore) -> Iterator[str]:
    """Address of an object that does not come before the store's `released` is set."""
    object_store.released.clear()
    folder = object_store.folder / "slides" / "open"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"held-{len(list(folder.iterdir()))}.png"
    (folder / name).write_bytes(png(make_field(60)))
    yield f"s3://slides/open/{name}"
    object_store.released.set()


def ask(server: Server, url: str, **headers: str) -> str:
    """Id of a job that is not waited for: the answer comes before the slide."""
    headers = {"Prefer": "respond-async", **headers}
    answer = server.client.post("/detect", json={"source": {"url": url}}, headers=headers, params={"stride": "8"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_an_object_is_fetched_after_the_answer(server: Server, object_store: ObjectStore, held: str) -> None:
    job_id = ask(server, held, **{"Idempotency-Key": held})
    job = server.client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["progress"]["bytes_done"]) == ("QUEUED", 0)
    assert server.client.get(f"/jobs/{job_id}/slide.json").status_code == 409
    object_store.released.set()
    done = server.wait(job_id)
    assert done["status"] == "SUCCEEDED", done
    assert done["progress"]["bytes_done"] is None
    assert server.client.get(f"/jobs/{job_id}/slide.json").json()["width"] == 200
    assert ask_again(server, held) == job_id


def ask_again(server: Server, url: str) -> str:
    query, headers = {"stride": "8"}, {"Idempotency-Key": url}
    answer = server.client.post("/detect", json={"source": {"url": url}}, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_cancelled_fetch_ends_in_no_scan(server: Server, object_store: ObjectStore, held: str) -> None:
    job_id = ask(server, held)
    assert server.client.delete(f"/jobs/{job_id}").status_code == 200
    object_store.released.set()
    again = server.client.post(f"/jobs/{job_id}/retry").raise_for_status().json()["id"]
    assert server.wait(again)["status"] == "SUCCEEDED"
    job = server.client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["attempt"]) == ("CANCELLED", 0)


def test_a_fetch_goes_on_when_its_worker_dies(server: Server, object_store: ObjectStore, held: str) -> None:
    job_id = ask(server, held)
    time.sleep(1.5)  # Until it is being fetched.
    server.kill_workers()
    object_store.released.set()
    assert server.wait(job_id)["status"] == "SUCCEEDED"


def test_an_object_beyond_the_bound_fails_with_that_reason(server: Server, object_store: ObjectStore) -> None:
    folder = object_store.folder / "slides" / "open"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "large.png").write_bytes(bytes(3_000_001))
    answer = server.client.post("/detect", json={"source": {"url": "s3://slides/open/large.png"}})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:mitoscan:too-large")


def test_a_server_file_that_changes_before_its_scan_is_not_scanned_as_the_old_one(server: Server) -> None:
    path = server.folder / "slides" / "changing.png"
    path.write_bytes(png(make_field(51)))
    first = server.client.post("/detect", json={"source": {"path": "changing.png"}}).json()
    path.write_bytes(png(make_field(52)))
    os.utime(path, ns=(1, 1))
    second = server.client.post("/detect", json={"source": {"path": "changing.png"}}).json()
    assert not second["cached"]
    assert second["detections"] != first["detections"]
