"""A slide that has been scanned, by the server that a test runs against."""

from __future__ import annotations

from tests.service.conftest import PATIENCE_MS
from tests.service.server_process import Server


def scanned(server: Server, body: bytes, **query: str) -> dict:
    """A job that has succeeded."""
    answer = server.client.post("/detect", content=body, params=query, headers={"Prefer": "respond-async"})
    job = server.wait(answer.raise_for_status().json()["id"], timeout=PATIENCE_MS / 1000)
    assert job["status"] == "SUCCEEDED"
    return job
