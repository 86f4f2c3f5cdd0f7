"""How much one client, and all together, may ask for."""

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
#: Jobs are inserted one at a time; a few more may read meanwhile what they need for it.
SUBMISSIONS_AT_ONCE = 4
#: A request that waits for its turn longer than this is sent away.
SUBMISSION_PATIENCE = 20.0  # seconds


class TooManyRequestsError(ReportedError):
    """One client asks too much."""

    problem_type = "too-many-requests"


class BusyError(ReportedError):
    """All together ask too much."""

    problem_type = "busy"


class TooLargeError(ReportedError):
    """More bytes or pixels than the service accepts."""

    problem_type = "too-large"


class QuotaExceededError(ReportedError):
    """One client keeps more bytes here than it may."""

    problem_type = "quota-exceeded"


class StorageFullError(ReportedError):
    """The disk is nearly full."""

    problem_type = "storage-full"


class SlowClientError(ReportedError):
    """A request's body does not come."""

    problem_type = "too-slow"


@dataclass(frozen=True)
class Allowance:
    """How many bytes one upload may have."""

    #: Of any slide.
    cap: int
    #: Left of the client's quota; None without one.
    quota_left: int | None = None

    def require(self, size: int) -> None:
        """Raise if so many bytes are too many."""
        if size > self.cap:
            raise TooLargeError(f"the slide is larger than the limit of {self.cap} bytes")
        if self.quota_left is not None and size > self.quota_left:
            raise QuotaExceededError(
                f"{max(0, self.quota_left)} bytes are left of this client's storage quota: "
                "free some by DELETE /uploads/{id} or DELETE /jobs/{job_id}?purge=true"
            )


class RateLimit:
    """So many requests of each client within any minute."""

    def __init__(self, per_minute: int) -> None:
        self._item = limits.RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, client: str) -> None:
        """Count one request; TooManyRequestsError if the client has had all of a minute's."""
        if not self._limiter.hit(self._item, client):
            raise TooManyRequestsError(f"this client has sent more than {self._item.amount} requests a minute")


class Turns:
    """So many requests add a job at a time; the others wait in order, without a thread or a connection."""

    def __init__(self, at_once: int = SUBMISSIONS_AT_ONCE, *, patience: float = SUBMISSION_PATIENCE) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._patience = patience

    async def run(self, submission: Callable[[], T]) -> T:
        """What the submission returns, in a thread; BusyError if others take too long before it."""
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
    """Raise if the data folder's disk is nearly full, or would be with so much more on it."""
    if shutil.disk_usage(settings.data).free - further_bytes < settings.min_free_bytes:
        raise StorageFullError("free disk space is below the service's minimum (min_free_bytes)")
