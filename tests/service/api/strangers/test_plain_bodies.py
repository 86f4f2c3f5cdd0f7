"""Bodies are sent as they are, and those that are no slides are small, whoever sends them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.plain_bodies import MAX_SMALL
from service.settings import Settings
from tests.service.api.problems import problem

MARK = f"/jobs/{'0' * 32}/review/marks"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(data=tmp_path)), "http://127.0.0.1") as running:
        yield running


@pytest.mark.parametrize(("method", "path"), [("POST", MARK), ("PUT", f"{MARK}/a")])
def test_an_endless_note_is_not_read_to_its_end(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, content=b" " * 100 * MAX_SMALL, headers={"Content-Type": "application/json"})
    assert problem(answer, 413)["type"] == "urn:mitoscan:too-large"


def test_what_is_small_is_read_whole(client: TestClient) -> None:
    body = b" " * (MAX_SMALL - 20) + b'{"x": 1, "y": 1}'
    answer = client.post(MARK, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 404, answer.text


def test_slides_are_not_small(client: TestClient) -> None:
    answer = client.post("/detect", content=bytes(2 * MAX_SMALL))
    assert answer.status_code == 415, answer.text


@pytest.mark.parametrize("path", ["/detect", "/uploads/slide.png", MARK])
def test_an_encoded_body_is_refused_by_the_name_of_its_coding(client: TestClient, path: str) -> None:
    body, headers = gzip.compress(b"{}"), {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.request("PUT" if "uploads" in path else "POST", path, content=body, headers=headers)
    assert "'gzip'" in problem(answer, 415)["detail"]
