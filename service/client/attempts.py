"""Turns problems into exceptions, and repeats requests whose failure may be temporary."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

ATTEMPTS = 6
#: Statuses after which a request is repeated.
COME_BACK = frozenset({429, 503})
#: For a piece of an upload also these: the service may not have noticed yet that the last connection broke.
PIECE_COMES_BACK = COME_BACK | {409, 423}


class ServiceError(Exception):
    """The service answered with an error; `problem` is its RFC 9457 problem.

    Examples
    --------
    >>> from service.client import ServiceError
    >>> error = ServiceError({"title": "No such job", "detail": "no job 'a'"}, status=404)
    >>> error.status, str(error)
    (404, "404 No such job: no job 'a'")
    """

    def __init__(self, problem: dict[str, Any], *, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.problem = problem
        self.status = status
        #: Seconds after which the request may be repeated.
        self.retry_after = retry_after


def attempts(come_back: frozenset[int] = COME_BACK) -> Retrying:
    """Repeats a call that gets no answer, or one of the statuses `come_back`."""
    may_pass = retry_if_exception(partial(_may_pass, come_back))
    return Retrying(stop=stop_after_attempt(ATTEMPTS), retry=may_pass, wait=_pause, reraise=True)


def check(answer: httpx.Response) -> httpx.Response:
    """The answer if it is a success; ServiceError otherwise."""
    if answer.is_success:
        return answer
    answer.read()
    try:
        problem = dict(answer.json())
    except ValueError:  # A proxy's page, say.
        problem = {"title": answer.reason_phrase, "detail": answer.text[:200]}
    after = answer.headers.get("retry-after", "")
    raise ServiceError(problem, status=answer.status_code, retry_after=float(after) if after.isdecimal() else None)


def _may_pass(come_back: frozenset[int], error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) or (isinstance(error, ServiceError) and error.status in come_back)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: what Retry-After says, or twice as long each time."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ServiceError) and error.retry_after is not None:
        return error.retry_after
    return float(min(30.0, 0.5 * 2**state.attempt_number))
