"""Slides that are named instead of sent: objects in a store, changed files on the server."""

from __future__ import annotations

import os

import pytest

from tests.service.conftest import Server, make_field, png
from tests.service.local_servers import ObjectStore

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


def test_a_server_file_that_changes_before_its_scan_is_not_scanned_as_the_old_one(server: Server) -> None:
    path = server.folder / "slides" / "changing.png"
    path.write_bytes(png(make_field(51)))
    first = server.client.post("/detect", json={"source": {"path": "changing.png"}}).json()
    path.write_bytes(png(make_field(52)))
    os.utime(path, ns=(1, 1))
    second = server.client.post("/detect", json={"source": {"path": "changing.png"}}).json()
    assert not second["cached"]
    assert second["detections"] != first["detections"]
