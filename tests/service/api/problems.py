"""The answer to a bad request, as every test of one wants it."""

from __future__ import annotations

import httpx


def problem(answer: httpx.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert "/data/" not in answer.text, "server paths are nobody's business"
    return body
