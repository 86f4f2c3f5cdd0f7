"""A body that is no slide is small: nobody, with or without a key, makes the service hold more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.body_size import MAX_SMALL
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
