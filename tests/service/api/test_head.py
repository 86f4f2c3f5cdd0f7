"""HEAD has the status and the headers of GET, and no body, on every path."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.api.head import HeadAsGet
from service.api.routes import pages
from tests.service.fields import make_field, png
from tests.service.server_process import Server

#: Differ from one answer to the next.
PASSING = {"date", "x-request-id"}
#: What stands for a parameter in a path, where that is not the job's id.
VALUES = {"path": "zarr.json", "level": "0", "col": "0", "row": "0", "x": "9", "y": "9"}
NAMES = ["run.json", "report.html", "map.ome.tiff", "none"]


@pytest.fixture(scope="module")
def paths(server: Server) -> list[str]:
    """Every path that answers GET, with what exists and what does not."""
    done = server.client.post("/detect", content=png(make_field(510)), params={"export": "zarr"}).json()
    described = [path for path, item in server.client.get("/openapi.json").json()["paths"].items() if "get" in item]
    shown = [route.path for route in pages.router.routes]
    found = []
    for path in ["/openapi.json", *described, *shown]:
        statics = ["view.js", "none"] if path.startswith("/static") else NAMES
        for name in statics if "{name}" in path else [""]:
            found += [
                path.format(name=name, job_id=job, **VALUES)
                for job in ([done["id"], "none"] if "{job_id}" in path else [""])
            ]
    return found


def test_every_path_answers_head_as_get(server: Server, paths: list[str]) -> None:
    wrong = []
    statuses = set()
    for path in paths:
        got, head = server.client.get(path), server.client.head(path)
        statuses.add(got.status_code)
        known = [{name: value for name, value in one.headers.items() if name not in PASSING} for one in (got, head)]
        if (got.status_code, known[0], b"") != (head.status_code, known[1], head.content) and path != "/metrics":
            wrong.append((path, got.status_code, head.status_code, set(known[0].items()) ^ set(known[1].items())))
    assert wrong == []
    assert statuses >= {200, 404, 409}
    assert server.client.head("/metrics").status_code == 200  # It grows by what is asked.


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/detect", 405), ("/%00", 400)])
def test_refusals_too(client: httpx.Client, path: str, status: int) -> None:
    got, head = client.get(path), client.head(path)
    assert got.status_code == head.status_code == status
    assert head.headers["content-type"] == got.headers["content-type"] == "application/problem+json"
    assert head.headers.get("allow") == got.headers.get("allow")


def test_nothing_follows_the_headers(server: Server, paths: list[str]) -> None:
    host, port = server.client.base_url.host, server.client.base_url.port
    asked = [path for path in paths if path.endswith(("/events", "/overview.png", "/view", "/models"))]
    assert asked
    for path in asked:
        with socket.create_connection((host, port), timeout=60) as line:
            line.sendall(f"HEAD {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: line.recv(65536), b""))
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1


def test_a_stream_without_an_end_is_not_followed() -> None:
    read = []

    async def stream() -> AsyncIterator[bytes]:
        while True:
            read.append(len(read))
            yield b"more"

    app = Starlette(routes=[Route("/events", lambda _request: StreamingResponse(stream()), methods=["POST"])])
    app.router.routes[0].methods = {"GET"}  # As FastAPI's routes: without HEAD.
    app.add_middleware(HeadAsGet)
    assert TestClient(app).head("/events").status_code == 200
    assert len(read) <= 1
