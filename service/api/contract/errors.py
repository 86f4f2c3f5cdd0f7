"""Answers every exception of the API as an RFC 9457 problem, with the headers that go with its status."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_problem.error import Problem
from fastapi_problem.handler import add_exception_handler, new_exception_handler
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from scanner.errors import ScannerError
from service.problems import ReportedError, make_problem, problem_from_exception
from service.proxies import link

PROBLEM_JSON = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
#: Seconds after which a refused client may try again.
RETRY_AFTER = {423: "1", 429: "5", 503: "10", 507: "60"}


class JobFailedError(Exception):
    """A job has failed; its problem is the answer to the request."""

    def __init__(self, problem: dict[str, object], *, job_id: str) -> None:
        super().__init__(str(problem.get("detail")))
        self.problem = problem | {"job": link(f"/jobs/{job_id}")}


def install(app: FastAPI) -> None:
    """Answer every error of `app` as application/problem+json."""
    handler = new_exception_handler(
        handlers={HTTPException: _http_problem, RequestValidationError: _validation_problem, Exception: _own_problem},
        http_exception_handler=_http_problem,
        request_validation_handler=_validation_problem,
    )
    add_exception_handler(app, handler, generic_swagger_defaults=False)
    # With the handler of Exception alone, Starlette would treat these as crashes: log them and raise them again.
    for expected in (ReportedError, ScannerError, ClientDisconnect, JobFailedError):
        app.add_exception_handler(expected, handler)


def problem_response(problem: dict[str, object]) -> JSONResponse:
    """A problem as a response, for middleware, where no exception handler applies."""
    status = int(str(problem["status"]))
    headers = {"Retry-After": RETRY_AFTER[status]} if status in RETRY_AFTER else None
    return JSONResponse(problem, status, headers=headers, media_type=PROBLEM_JSON)


def has_route(scope: Scope, method: str) -> bool:
    """True if a route answers that method at the path of a request."""
    asked = dict(scope) | {"method": method}
    return any(route.matches(asked)[0] is Match.FULL for route in scope["app"].routes)


def _own_problem(_handler: object, _request: Request, error: Exception) -> Problem:
    if isinstance(error, JobFailedError):
        return _as_exception(error.problem)
    if isinstance(error, ClientDisconnect):
        return _as_exception(make_problem("disconnected", detail=str(error)))
    return _as_exception(problem_from_exception(error))


def _http_problem(_handler: object, request: Request, error: HTTPException) -> Problem:
    """The problem of an error that Starlette, FastAPI or a route raises by its status alone."""
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _as_exception(make_problem("too-large", detail=str(error.detail)))
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    problem = {
        "type": f"urn:mitoscan:{status.phrase.lower().replace(' ', '-')}",
        "title": status.phrase,
        "status": int(status),
        "detail": str(error.detail),
    }
    return _as_exception(problem, headers=headers)


def _methods(request: Request) -> list[str]:
    """All methods of the path: the router's Allow header has only those of the first route that matches."""
    found = {method for method in METHODS if has_route(request.scope, method)}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _validation_problem(_handler: object, _request: Request, error: RequestValidationError) -> Problem:
    # The client's own input is left out: it may not be valid JSON, and it is known to the client.
    entries = [{"loc": list(entry["loc"]), "msg": entry["msg"], "type": entry["type"]} for entry in error.errors()]
    where = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in entries)
    return _as_exception(make_problem("invalid-request", detail=where) | {"errors": entries})


def _as_exception(problem: dict[str, Any], headers: dict[str, str] | None = None) -> Problem:
    fields = dict(problem)
    status = int(fields.pop("status"))
    headers = dict(headers or {})
    if status in RETRY_AFTER:
        headers.setdefault("Retry-After", RETRY_AFTER[status])
    if status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", 'ApiKey realm="mitoscan"')
    return Problem(
        fields.pop("title"),
        type_=fields.pop("type"),
        detail=fields.pop("detail", None),
        status=status,
        headers=headers,
        **fields,
    )
