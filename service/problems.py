"""What clients are told when something goes wrong: RFC 9457 problems, one row of a table for each type.

An exception that may reach a client is a `ReportedError` and names the type of its problem; those of `scanner`, which
knows nothing of clients, are named here. Any other exception is a fault of the service: the problem `internal`, without
a word of the exception's message.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from scanner import errors as scan

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProblemKind:
    """What all problems of one type have in common."""

    #: Of the HTTP answer.
    status: int
    title: str


#: Type of a problem -> what goes with it.
PROBLEMS = {
    "not-authenticated": ProblemKind(401, "An API key is needed"),
    "link-not-valid": ProblemKind(401, "The link is not valid, or not any more"),
    "host-not-served": ProblemKind(421, "The service is not reached by this name"),
    "origin-refused": ProblemKind(403, "Web pages of this origin may not call the service"),
    "not-allowed": ProblemKind(403, "This API key is not allowed to do that"),
    "job-not-found": ProblemKind(404, "No such job"),
    "upload-not-found": ProblemKind(404, "No such upload"),
    "model-not-found": ProblemKind(404, "No such model"),
    "file-not-found": ProblemKind(404, "No such file in a result"),
    "mark-not-found": ProblemKind(404, "No such detection, candidate or added figure"),
    "share-not-found": ProblemKind(404, "No such share"),
    "tile-not-found": ProblemKind(404, "No such tile"),
    "tile-too-slow": ProblemKind(503, "The tile could not be made in time"),
    "job-not-finished": ProblemKind(409, "The job has no result"),
    "nothing-reviewed": ProblemKind(409, "Nothing has been reviewed yet"),
    "review-full": ProblemKind(409, "The review has as many marks as one may have"),
    "sharing-off": ProblemKind(409, "Links cannot be made on this service"),
    "shares-full": ProblemKind(409, "The job has as many links as one may have"),
    "result-gone": ProblemKind(410, "The result has been removed"),
    "slide-changed": ProblemKind(410, "The slide has changed"),
    "slide-gone": ProblemKind(410, "The slide has been removed"),
    "export-impossible": ProblemKind(409, "This export cannot be made from this slide"),
    "job-unreadable": ProblemKind(409, "The job was written by another version of the service"),
    "job-finished": ProblemKind(409, "The job has already ended"),
    "job-running": ProblemKind(409, "The job has not stopped yet"),
    "upload-in-use": ProblemKind(409, "A job is using this upload"),
    "wrong-offset": ProblemKind(409, "Upload-Offset does not match the upload"),
    "upload-busy": ProblemKind(423, "Another request is sending this upload"),
    "too-slow": ProblemKind(408, "The request body arrives too slowly"),
    "bad-request": ProblemKind(400, "The request cannot be understood"),
    "invalid-request": ProblemKind(422, "The request is not valid"),
    "disconnected": ProblemKind(400, "The client disconnected"),
    "empty-upload": ProblemKind(400, "The upload is empty"),
    "too-large": ProblemKind(413, "This is larger than this service accepts"),
    "quota-exceeded": ProblemKind(413, "The storage quota of this client is used up"),
    "source-forbidden": ProblemKind(403, "This source is not on the allow list"),
    "source-not-found": ProblemKind(404, "No such source"),
    "source-unreachable": ProblemKind(502, "The source could not be fetched"),
    "webhook-forbidden": ProblemKind(403, "This webhook is not on the allow list"),
    "store-forbidden": ProblemKind(403, "This DICOMweb server is not on the allow list"),
    "identity-unknown": ProblemKind(503, "The identity provider cannot be reached"),
    "idempotency-conflict": ProblemKind(409, "The Idempotency-Key was used for another request"),
    "too-many-requests": ProblemKind(429, "Too many requests, open jobs or unfinished uploads of this client"),
    "busy": ProblemKind(503, "The service cannot take more work now"),
    "store-unavailable": ProblemKind(503, "The job database cannot be reached"),
    "storage-full": ProblemKind(507, "The service is short of disk space"),
    "encoded-body": ProblemKind(415, "The body has a Content-Encoding"),
    "unsupported-slide": ProblemKind(415, "Not a slide or image in a supported format"),
    "damaged-slide": ProblemKind(422, "The slide is damaged"),
    "unreadable-region": ProblemKind(422, "A part of the slide cannot be read"),
    "resolution-missing": ProblemKind(422, "The slide's resolution is missing or implausible"),
    "bad-settings": ProblemKind(422, "A setting is not valid"),
    "scores-not-finite": ProblemKind(422, "The network's scores are not finite"),
    "output-failed": ProblemKind(507, "The result could not be written"),
    "memory-exceeded": ProblemKind(422, "The scan needs too much memory"),
    "scan-timeout": ProblemKind(422, "The scan took too long"),
    "scan-crashed": ProblemKind(422, "The scan crashed"),
    "scan-failed": ProblemKind(422, "The slide could not be scanned"),
    "internal": ProblemKind(500, "The service failed"),
}
#: The first class that fits holds: subclasses stand before their base.
SCANNER_PROBLEMS: tuple[tuple[type[scan.ScannerError], str], ...] = (
    (scan.UnsupportedSlideError, "unsupported-slide"),
    (scan.DamagedSlideError, "damaged-slide"),
    (scan.UnreadableRegionError, "unreadable-region"),
    (scan.ResolutionError, "resolution-missing"),
    (scan.SettingsError, "bad-settings"),
    (scan.NonFiniteScoreError, "scores-not-finite"),
    (scan.OutputError, "output-failed"),
    (scan.ScannerError, "scan-failed"),
)


class ReportedError(Exception):
    """An exception whose message a client sees, as a problem of the type `problem_type`."""

    #: A key of PROBLEMS.
    problem_type: ClassVar[str]


def make_problem(problem_type: str, *, detail: str) -> dict[str, object]:
    """An RFC 9457 problem of one of the types of PROBLEMS."""
    kind = PROBLEMS[problem_type]
    return {"type": f"urn:mitoscan:{problem_type}", "title": kind.title, "status": kind.status, "detail": detail}


def problem_from_exception(error: Exception, *, detail: str | None = None) -> dict[str, object]:
    """The problem that a client may see of an exception; `detail` in place of the exception's own message."""
    problem_type = _type_of(error)
    if problem_type is None:
        _log.error("unexpected exception", exc_info=error)
        return make_problem("internal", detail="The failure has been logged.")
    return make_problem(problem_type, detail=detail or str(error))


def _type_of(error: Exception) -> str | None:
    if isinstance(error, ReportedError):
        return error.problem_type
    return next((name for exception, name in SCANNER_PROBLEMS if isinstance(error, exception)), None)
