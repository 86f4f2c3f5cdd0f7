"""What its owner wants gone is gone, where nobody else's job needs it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from service.access.keys import hash_key
from service.settings import Settings
from service.slides_in.holdings import is_held
from tests.service.fields import make_field, make_large_field, png
from tests.service.server_process import Server
from tests.service.slides_in.test_tus import APPEND, TUS, begin, send

ROLES = {"ann": "submit", "bob": "submit", "eve": "read", "root": "admin"}
KEYS = {name: f"{role}:{hash_key(name)}" for name, role in ROLES.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Server]:
    environment = {"MITOSCAN_API_KEYS": json.dumps(KEYS), "MITOSCAN_MIN_FREE_BYTES": "1"}
    with Server(tmp_path_factory.mktemp("deleting"), models_folder, **environment).start() as running:
        running.client.headers["X-API-Key"] = "root"
        yield running


@pytest.fixture(scope="module")
def ann(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.client.base_url, headers={"X-API-Key": "ann"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def bob(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.client.base_url, headers={"X-API-Key": "bob"}, timeout=60) as client:
        yield client


def put(client: httpx.Client, body: bytes, name: str = "slide.png") -> str:
    return str(client.put(f"/uploads/{name}", content=body).raise_for_status().json()["id"])


def detect(client: httpx.Client, body: bytes, **query: str) -> dict:
    return client.post("/detect", content=body, params=query).raise_for_status().json()


def slide_of(server: Server, upload: str) -> Path:
    return server.folder / "data" / "uploads" / upload


def results_of(server: Server) -> set[str]:
    return {path.name for path in (server.folder / "data" / "results").iterdir()} - {"work"}


def test_a_purged_job_its_result_and_its_upload_are_gone(server: Server, ann: httpx.Client) -> None:
    before, body = results_of(server), png(make_field(300))
    job, upload = detect(ann, body), put(ann, body)
    assert results_of(server) > before
    assert slide_of(server, upload).is_dir()
    assert ann.delete(f"/jobs/{job['id']}", params={"purge": "true"}).status_code == 204
    assert ann.get(f"/jobs/{job['id']}").status_code == 404
    assert ann.get(f"/jobs/{job['id']}/view").status_code == 404
    assert results_of(server) == before
    assert not slide_of(server, upload).exists()
    assert not is_held(Settings(data=server.folder / "data"), upload)
    assert ann.delete(f"/jobs/{job['id']}", params={"purge": "true"}).status_code == 404
    again = detect(ann, body)
    assert not again["cached"]
    assert again["detections"] == job["detections"]


def test_no_byte_of_a_purged_slide_and_no_word_about_it_is_left(server: Server, ann: httpx.Client) -> None:
    name, case, body = "Zacharias Zebra.png", "Z-1234", png(make_field(309))
    job = detect(ann, body, name=name, case=case)
    ann.post(f"/jobs/{job['id']}/review/marks", json={"x": 5, "y": 5, "note": "of Zebra"}).raise_for_status()
    data = server.folder / "data"
    # The audit trail keeps who did what with which slide: its hash, never its name.
    words = [name.encode(), b"Zebra", case.encode(), hashlib.sha256(body).hexdigest().encode(), body[100:200]]
    assert all(any(word in content for content in contents(data)) for word in words[:4])
    assert ann.delete(f"/jobs/{job['id']}", params={"purge": "true"}).status_code == 204
    assert [word for word in words if any(word in content for content in contents(data))] == []


def contents(folder: Path) -> Iterator[bytes]:
    """Paths and bytes of all files, and all that the database knows; without the audit trail."""
    for path in folder.rglob("*"):
        if path.is_file() and "audit" not in path.parts and not path.name.startswith("store.sqlite"):
            yield str(path.relative_to(folder)).encode()
            yield path.read_bytes()
    with closing(sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True)) as database:
        yield "\n".join(database.iterdump()).encode()


def test_what_others_need_stays_until_the_last_of_them(server: Server, ann: httpx.Client, bob: httpx.Client) -> None:
    body = png(make_field(301))
    jobs = {client: detect(client, body) for client in (ann, bob)}
    upload = put(ann, body)
    assert ann.delete(f"/jobs/{jobs[bob]['id']}?purge=true").status_code == 404
    assert ann.delete(f"/jobs/{jobs[ann]['id']}?purge=true").status_code == 204
    assert bob.get(jobs[bob]["links"]["run.json"]).status_code == 200
    assert bob.get(f"/jobs/{jobs[bob]['id']}/thumbnail.jpeg").status_code == 200
    assert bob.delete(f"/jobs/{jobs[bob]['id']}?purge=true").status_code == 204
    assert not slide_of(server, upload).exists()


def test_a_slide_that_another_client_has_sent_stays(server: Server, ann: httpx.Client, bob: httpx.Client) -> None:
    body = png(make_field(302))
    job, upload = detect(ann, body), put(bob, body)
    assert ann.delete(f"/jobs/{job['id']}?purge=true").status_code == 204
    assert slide_of(server, upload).is_dir()
    assert bob.delete(f"/uploads/{upload}").status_code == 204
    assert not slide_of(server, upload).exists()


def test_a_slide_that_another_clients_job_reads_stays(server: Server, ann: httpx.Client, bob: httpx.Client) -> None:
    body = png(make_field(313))
    mine, upload = detect(ann, body), put(ann, body)
    assert bob.post("/detect", json={"source": {"upload": upload}}).status_code == 404, "bob has not sent it"
    assert put(bob, body) == upload
    theirs = bob.post("/detect", json={"source": {"upload": upload}}).raise_for_status().json()
    assert bob.delete(f"/uploads/{upload}").status_code == 204
    assert ann.delete(f"/jobs/{mine['id']}?purge=true").status_code == 204
    assert slide_of(server, upload).is_dir()
    assert bob.delete(f"/jobs/{theirs['id']}?purge=true").status_code == 204
    assert not slide_of(server, upload).exists()


def test_an_upload_of_two_jobs_of_one_client_goes_with_the_second(server: Server, ann: httpx.Client) -> None:
    body = png(make_field(303))
    first, second = detect(ann, body), detect(ann, body, threshold="0.3")
    upload = put(ann, body)
    assert ann.delete(f"/jobs/{first['id']}?purge=true").status_code == 204
    assert slide_of(server, upload).is_dir()
    assert ann.get(second["links"]["run.json"]).status_code == 200
    assert ann.delete(f"/jobs/{second['id']}?purge=true").status_code == 204
    assert not slide_of(server, upload).exists()


def test_a_running_job_is_cancelled_and_purged(server: Server, ann: httpx.Client) -> None:
    answer = ann.post(
        "/detect", content=png(make_large_field(304)), params={"stride": 1}, headers={"Prefer": "respond-async"}
    )
    job = answer.json()["id"]
    server.wait(job, "RUNNING")
    assert ann.delete(f"/jobs/{job}?purge=true").status_code == 204
    assert ann.get(f"/jobs/{job}").status_code == 404
    assert not (server.folder / "data" / "results" / "work" / job).exists()
    assert detect(ann, png(make_field(305)))["status"] == "SUCCEEDED", "the worker goes on"


def test_an_upload_is_its_owners_to_delete(server: Server, ann: httpx.Client, bob: httpx.Client) -> None:
    upload = put(ann, png(make_field(306)))
    assert bob.delete(f"/uploads/{upload}").status_code == 404
    assert bob.delete(f"/uploads/{upload}", headers={"X-API-Key": "eve"}).status_code == 403
    assert bob.delete(f"/uploads/{upload}", headers={"X-API-Key": "nobody"}).status_code == 401
    assert slide_of(server, upload).is_dir()
    assert ann.delete(f"/uploads/{upload}").status_code == 204
    assert not slide_of(server, upload).exists()
    assert ann.delete(f"/uploads/{upload}").status_code == 404
    assert ann.post("/detect", json={"source": {"upload": upload}}).status_code == 404
    again = put(ann, png(make_field(306)))
    assert server.client.delete(f"/uploads/{again}").status_code == 204, "an admin may"
    for nonsense in ("0" * 64, "0" * 32, "incoming", "clients", "..", "slide.png"):
        assert ann.delete(f"/uploads/{nonsense}").status_code in {404, 405}


def test_an_upload_that_a_job_reads_is_in_use(server: Server, ann: httpx.Client) -> None:
    upload = put(ann, png(make_large_field(307)))
    body = {"source": {"upload": upload}}
    job = ann.post("/detect", json=body, params={"stride": 1}, headers={"Prefer": "respond-async"}).json()["id"]
    answer = ann.delete(f"/uploads/{upload}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:mitoscan:upload-in-use")
    ann.delete(f"/jobs/{job}")
    server.wait(job)
    assert ann.delete(f"/uploads/{upload}").status_code == 204
    assert ann.get(f"/jobs/{job}").json()["status"] == "CANCELLED"
    assert ann.get(f"/jobs/{job}/thumbnail.jpeg").status_code in {404, 410}
    assert ann.post(f"/jobs/{job}/retry").status_code == 404


def test_resumable_uploads_are_deleted_at_any_stage(server: Server, ann: httpx.Client, bob: httpx.Client) -> None:
    body = png(make_field(308))
    path = begin(ann, len(body))
    upload = path.rsplit("/", 1)[-1]
    for method in ("HEAD", "PATCH", "DELETE"):
        headers = APPEND | {"Upload-Offset": "0"}
        assert bob.request(method, path, headers=headers).status_code == 404, "it is ann's"
    send(ann, path, body[:100], 0)
    assert bob.delete(f"/uploads/{upload}").status_code == 404
    assert ann.delete(f"/uploads/{upload}").status_code == 204
    assert ann.head(path, headers=TUS).status_code == 404
    path = begin(ann, len(body))
    assert send(ann, path, body, 0).status_code == 204
    job = ann.post("/detect", json={"source": {"upload": path.rsplit("/", 1)[-1]}}).json()
    slide = slide_of(server, put(ann, body))
    assert ann.delete(path, headers=TUS).status_code == 204
    assert not slide.exists()
    assert ann.head(path, headers=TUS).status_code == 404
    assert ann.get(job["links"]["run.json"]).status_code == 200, "a finished job keeps its result"


def test_nothing_is_written_for_who_has_no_key(server: Server) -> None:
    files = set((server.folder / "data" / "uploads").rglob("*"))
    body = png(make_field(309))
    with httpx.Client(base_url=server.client.base_url, timeout=60) as nobody:
        for headers in ({}, {"X-API-Key": "wrong"}):
            assert nobody.post("/uploads/tus", headers=TUS | {"Upload-Length": "100"} | headers).status_code == 401
            assert nobody.post("/uploads", content=body, headers=headers).status_code == 401
            assert nobody.put("/uploads/a.png", content=body, headers=headers).status_code == 401
            assert nobody.patch("/uploads/tus/" + "0" * 32, content=body, headers=APPEND | headers).status_code == 401
    # What tests before this one have deleted may still be going.
    assert set((server.folder / "data" / "uploads").rglob("*")) <= files


def test_a_name_stays_with_its_upload(ann: httpx.Client, bob: httpx.Client) -> None:
    body = png(make_field(310))
    upload = put(ann, body, "of ann.png")
    assert put(bob, body, "of bob.png") == upload
    for client, name in ((ann, "of ann.png"), (bob, "of bob.png")):
        job = client.post("/detect", json={"source": {"upload": upload}}).json()
        assert job["name"] == name
