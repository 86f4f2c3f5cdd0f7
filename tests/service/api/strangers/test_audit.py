"""The audit trail has a line of who has looked at which slide, however many tiles they looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.telemetry import audit
from service.telemetry.audit import FILE_NAME, AuditTrail, add_audit_fields


def tile(request: Request) -> PlainTextResponse:
    add_audit_fields(request, client=request.headers["x-name"])
    return PlainTextResponse("", status_code=int(request.headers.get("x-status", "200")))


@pytest.fixture
def looking(tmp_path: Path) -> Iterator[TestClient]:
    app = Starlette(routes=[Route("/{path:path}", tile)])
    with TestClient(AuditTrail(app, folder=tmp_path, keep_days=1)) as running:
        yield running


def look(client: TestClient, name: str, job: str, *, tiles: int = 3, status: int = 200) -> None:
    for number in range(tiles):
        headers = {"x-name": name, "x-status": str(status)}
        client.get(f"/jobs/{job}/slide_files/10/{number}_0.jpeg", headers=headers)


def trail(folder: Path) -> list[tuple[str, str, int]]:
    entries = [json.loads(line) for line in (folder / FILE_NAME).read_text().splitlines()]
    return [(entry["client"], entry["path"], entry["status"]) for entry in entries]


def test_each_client_and_slide_has_one_line_a_day(looking: TestClient, tmp_path: Path, monkeypatch) -> None:
    for _ in range(2):
        look(looking, "ann", "a")
        look(looking, "bob", "a")
        look(looking, "ann", "b")
    seen = [
        ("ann", "/jobs/a/slide_files", 200),
        ("bob", "/jobs/a/slide_files", 200),
        ("ann", "/jobs/b/slide_files", 200),
    ]
    assert trail(tmp_path) == seen
    monkeypatch.setattr(audit, "_now", lambda: "2999-01-01T00:00:00.000+00:00")
    look(looking, "ann", "a")
    assert trail(tmp_path) == [*seen, seen[0]]


def test_every_tile_that_is_refused_has_a_line(looking: TestClient, tmp_path: Path) -> None:
    look(looking, "eve", "a", status=403)
    assert trail(tmp_path) == [("eve", f"/jobs/a/slide_files/10/{number}_0.jpeg", 403) for number in range(3)]


def test_what_is_known_is_bounded(looking: TestClient, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(audit, "MOST_LOOKING", 2)
    for job in ("a", "b", "a", "c", "b"):  # The look at b is the oldest when c comes.
        look(looking, "ann", job)
    assert [path for _, path, _ in trail(tmp_path)] == [f"/jobs/{job}/slide_files" for job in "abcb"]
