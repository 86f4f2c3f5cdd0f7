"""The one table from exception to HTTP status, and how an exception becomes an RFC 9457 problem.

Everything that is not in the table is our fault: 500, without a word of its message.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
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

from scanner import errors as scan
from service.access import keys, limits
from service.api import pace
from service.jobs import catalog, database, deleting, job_rows, lifecycle, store, submission, webhooks
from service.results import results, viewer_tiles
from service.slides_in import appending, multipart, remote, server_paths, store_slide, tus

PROBLEM_JSON = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """How one kind of exception is answered."""

    exception: type[Exception]
    status: int
    type: str
    title: str


#: The first rule that fits holds: subclasses stand before their base.
RULES = (
    Rule(keys.NotAuthenticatedError, 401, "not-authenticated", "An API key is needed"),
    Rule(keys.NotAllowedError, 403, "not-allowed", "This API key may not do that"),
    Rule(store.JobNotFoundError, 404, "job-not-found", "No such job"),
    Rule(tus.UploadNotFoundError, 404, "upload-not-found", "No such upload"),
    Rule(catalog.UnknownModelError, 404, "model-not-found", "No such model"),
    Rule(results.FileNotInResultError, 404, "file-not-found", "No such file in a result"),
    Rule(viewer_tiles.TileOutsideError, 404, "tile-not-found", "No such tile"),
    Rule(viewer_tiles.TileTooSlowError, 503, "tile-too-slow", "The tile could not be made in time"),
    Rule(results.NotFinishedError, 409, "job-not-finished", "The job has no result"),
    Rule(results.ResultGoneError, 410, "result-gone", "The result has been removed"),
    Rule(submission.ExportImpossibleError, 409, "export-impossible", "This file cannot be made of this slide"),
    Rule(job_rows.UnreadableJobError, 409, "job-unreadable", "Another version of the service has written this job"),
    Rule(lifecycle.TransitionError, 409, "job-finished", "The job is finished already"),
    Rule(deleting.StillRunningError, 409, "job-running", "The job has not stopped yet"),
    Rule(deleting.UploadInUseError, 409, "upload-in-use", "A job reads this upload"),
    Rule(appending.OffsetError, 409, "wrong-offset", "The upload is at another byte"),
    Rule(tus.UploadBusyError, 423, "upload-busy", "Another request sends this upload"),
    Rule(pace.SlowClientError, 408, "too-slow", "The request does not come"),
    Rule(multipart.BadRequestError, 400, "bad-request", "The request cannot be understood"),
    Rule(ClientDisconnect, 400, "disconnected", "The client went away"),
    Rule(store_slide.EmptyUploadError, 400, "empty-upload", "The upload is empty"),
    Rule(limits.TooLargeError, 413, "too-large", "The slide is larger than this service accepts"),
    Rule(limits.QuotaExceededError, 413, "quota-exceeded", "This client keeps as much as it may"),
    Rule(server_paths.SourceForbiddenError, 403, "source-forbidden", "This source is not on the allow list"),
    Rule(server_paths.SourceNotFoundError, 404, "source-not-found", "No such source"),
    Rule(remote.SourceFetchError, 502, "source-unreachable", "The source could not be fetched"),
    Rule(webhooks.WebhookForbiddenError, 403, "webhook-forbidden", "This webhook is not on the allow list"),
    Rule(keys.IdentityProviderError, 503, "identity-unknown", "Who asks cannot be found out now"),
    Rule(limits.IdempotencyConflictError, 409, "idempotency-conflict", "The Idempotency-Key was used before"),
    Rule(limits.TooManyRequestsError, 429, "too-many-requests", "Too many requests or open jobs of this client"),
    Rule(limits.BusyError, 503, "busy", "The service cannot take more work now"),
    Rule(database.StoreUnavailableError, 503, "store-unavailable", "The store cannot be reached now"),
    Rule(limits.StorageFullError, 507, "storage-full", "The service is short of disk space"),
    Rule(scan.UnsupportedSlideError, 415, "unsupported-slide", "Not a slide or image that can be read"),
    Rule(scan.DamagedSlideError, 422, "damaged-slide", "The slide is damaged"),
    Rule(scan.UnreadableRegionError, 422, "unreadable-region", "A part of the slide cannot be read"),
    Rule(scan.ResolutionError, 422, "resolution-missing", "The slide's resolution is missing or implausible"),
    Rule(scan.SettingsError, 422, "bad-settings", "A setting is impossible"),
    Rule(scan.NonFiniteScoreError, 422, "scores-not-finite", "The network's scores are not numbers"),
    Rule(scan.OutputError, 507, "output-failed", "The result could not be written"),
    Rule(scan.ScannerError, 422, "scan-failed", "The slide could not be scanned"),
)
#: Seconds after which a refused client may try again.
RETRY_AFTER = {423: "1", 429: "5", 503: "10", 507: "60"}


def problem_from_exception(error: Exception, *, detail: str | None = None) -> dict[str, object]:
    """The problem that a client may see of an exception."""
    for rule in RULES:
        if isinstance(error, rule.exception):
            return make_problem(rule.status, rule.type, rule.title, detail=detail or str(error))
    _log.error("unexpected", exc_info=error)
    return make_problem(500, "internal", "The service failed", detail="The failure has been logged.")


def make_problem(status: int, type_: str, title: str, *, detail: str) -> dict[str, object]:
    """An RFC 9457 problem."""
    return {"type": f"urn:mitoscan:{type_}", "title": title, "status": status, "detail": detail}


class JobFailedError(Exception):
    """A job ended in a problem, which is the answer."""

    def __init__(self, problem: dict[str, object], *, job_id: str) -> None:
        super().__init__(str(problem.get("detail")))
        self.problem = problem | {"job": f"/jobs/{job_id}"}


def install(app: FastAPI) -> None:
    """Answer every error of `app` as application/problem+json."""
    handler = new_exception_handler(
        handlers={HTTPException: _http_problem, RequestValidationError: _validation_problem, Exception: _table_problem},
        http_exception_handler=_http_problem,
        request_validation_handler=_validation_problem,
    )
    add_exception_handler(app, handler, generic_swagger_defaults=False)
    for rule in RULES:
        app.add_exception_handler(rule.exception, handler)
    app.add_exception_handler(JobFailedError, handler)


def problem_response(problem: dict[str, object]) -> JSONResponse:
    """A problem as a response, for the places that no exception handler reaches."""
    status = int(str(problem["status"]))
    headers = {"Retry-After": RETRY_AFTER[status]} if status in RETRY_AFTER else None
    return JSONResponse(problem, status, headers=headers, media_type=PROBLEM_JSON)


def _table_problem(_handler: object, _request: Request, error: Exception) -> Problem:
    problem = error.problem if isinstance(error, JobFailedError) else problem_from_exception(error)
    return _as_exception(problem)


def _http_problem(_handler: object, request: Request, error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    slug = status.phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return _as_exception(make_problem(status, slug, status.phrase, detail=str(error.detail)), headers=headers)


def _methods(request: Request) -> list[str]:
    """All methods of the path: the router names those of its first route alone, so each is tried."""
    scopes = {method: dict(request.scope) | {"method": method} for method in METHODS}
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


def _validation_problem(_handler: object, _request: Request, error: RequestValidationError) -> Problem:
    # The client's own input is left out: it may not be valid JSON, and it is known to the client.
    entries = [{"loc": list(entry["loc"]), "msg": entry["msg"], "type": entry["type"]} for entry in error.errors()]
    where = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in entries)
    problem = make_problem(422, "invalid-request", "The request is not valid", detail=where)
    return _as_exception(problem | {"errors": entries})


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
