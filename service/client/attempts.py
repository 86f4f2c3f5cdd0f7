"""What a client makes of an answer: a problem becomes an exception, and what may pass is asked again."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

ATTEMPTS = 6
#: Answers that ask to come back.
COME_BACK = frozenset({429, 503})
#: Of a piece also: the service is further than it said, because it had not yet heard that the line broke.
PIECE_COMES_BACK = COME_BACK | {409, 423}


class ServiceError(Exception):
    """The service refused; `problem` is its RFC 9457 problem."""

    def __init__(self, problem: dict[str, Any], *, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.problem = problem
        self.status = status
        #: Seconds after which it may be asked again.
        self.retry_after = retry_after


def attempts(come_back: frozenset[int] = COME_BACK) -> Retrying:
    """Calls a function again for as long as its failure may pass: no answer, or one of those statuses."""
    may_pass = retry_if_exception(partial(_may_pass, come_back))
    return Retrying(stop=stop_after_attempt(ATTEMPTS), retry=may_pass, wait=_pause, reraise=True)


def check(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is no problem; ServiceError otherwise."""
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
    """Seconds until the next attempt: as the service asks, or twice as long each time."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ServiceError) and error.retry_after is not None:
        return error.retry_after
    return float(min(30.0, 0.5 * 2**state.attempt_number))
