"""The error responses that routes declare in OpenAPI."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from service.api.contract.errors import PROBLEM_JSON, RETRY_AFTER

#: Statuses of any route that needs a key: 400 if path or query are not text, 503 while the database is away.
ANY = (400, 401, 403, 429, 503)
#: The header that goes with a new job.
LOCATION = {"Location": {"schema": {"type": "string"}, "description": "the job"}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for those statuses, and for those that any route may answer."""
    return {status: _response(HTTPStatus(status)) for status in sorted({*ANY, *statuses})}


def _response(status: HTTPStatus) -> dict[str, Any]:
    example = {
        "type": f"urn:mitoscan:{status.phrase.lower().replace(' ', '-')}",
        "title": status.phrase,
        "status": int(status),
        "detail": "What was wrong, and what to do.",
    }
    response: dict[str, Any] = {
        "description": status.phrase,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
    if int(status) in RETRY_AFTER:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return response
