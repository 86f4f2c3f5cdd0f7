"""Limits on requests, uploads and disk space, per client and in all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import limits
from anyio import to_thread
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.problems import ReportedError
from service.settings import Settings

T = TypeVar("T")
#: Jobs are inserted one at a time; a few more requests may meanwhile read what they need.
SUBMISSIONS_AT_ONCE = 4
#: A request that has to wait longer than this is refused.
SUBMISSION_PATIENCE = 20.0  # seconds


class TooManyRequestsError(ReportedError):
    """One client sends too many requests, or its group has too many jobs or uploads open."""

    problem_type = "too-many-requests"


class BusyError(ReportedError):
    """The service has as much work as it takes."""

    problem_type = "busy"


class TooLargeError(ReportedError):
    """More bytes or pixels than the service accepts."""

    problem_type = "too-large"


class QuotaExceededError(ReportedError):
    """An upload exceeds the group's storage quota."""

    problem_type = "quota-exceeded"


class StorageFullError(ReportedError):
    """The service's disk is full, or nearly."""

    problem_type = "storage-full"


class SlowClientError(ReportedError):
    """A request's body stalls or arrives too slowly."""

    problem_type = "too-slow"


@dataclass(frozen=True)
class Allowance:
    """How large one upload may be."""

    #: Most bytes of any slide.
    cap: int
    #: Bytes left of the group's quota; None without one.
    quota_left: int | None = None

    def require(self, size: int) -> None:
        """Raise TooLargeError or QuotaExceededError if an upload of `size` bytes is too large."""
        if size > self.cap:
            raise TooLargeError(f"the slide is larger than the limit of {self.cap} bytes")
        if self.quota_left is not None and size > self.quota_left:
            raise QuotaExceededError(
                f"{max(0, self.quota_left)} bytes are left of this group's storage quota: "
                "free some by DELETE /uploads/{id} or DELETE /jobs/{job_id}?purge=true"
            )


class RateLimit:
    """Limits the requests of each client per minute."""

    def __init__(self, per_minute: int) -> None:
        self._item = limits.RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, client: str) -> None:
        """Count one request; TooManyRequestsError beyond the limit."""
        if not self._limiter.hit(self._item, client):
            raise TooManyRequestsError(f"this client has sent more than {self._item.amount} requests a minute")


class SubmissionLimiter:
    """Lets a few requests at a time add a job; others wait in order, without a thread or a database connection."""

    def __init__(self, at_once: int = SUBMISSIONS_AT_ONCE, *, patience: float = SUBMISSION_PATIENCE) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._patience = patience

    async def run(self, submission: Callable[[], T]) -> T:
        """Run `submission` in a thread and return its result; BusyError if it would have to wait too long."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError as error:
            raise BusyError("too many scans are being submitted at once") from error
        try:
            return await to_thread.run_sync(submission)
        finally:
            self._places.release()


def require_disk(settings: Settings, further_bytes: int = 0) -> None:
    """StorageFullError if the data folder's disk is nearly full, or would be with `further_bytes` more."""
    if shutil.disk_usage(settings.data).free - further_bytes < settings.min_free_bytes:
        raise StorageFullError("free disk space is below the service's minimum (min_free_bytes)")
