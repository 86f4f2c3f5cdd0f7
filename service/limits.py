"""How much one client, and all together, may ask for."""

from __future__ import annotations

import shutil
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from service.settings import Settings
from service.store import Store

#: Clients whose request rate is remembered.
MAX_TRACKED_CLIENTS = 10_000


class TooManyRequestsError(Exception):
    """One client asks too much."""


class BusyError(Exception):
    """All together ask too much."""


class StorageFullError(Exception):
    """The disk is nearly full."""


class IdempotencyConflictError(Exception):
    """The key came with another request before."""


class RateLimit:
    """A token bucket per client: `per_minute` requests, in bursts of at most a tenth of it."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._burst = max(10.0, per_minute / 10)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, client: str) -> None:
        """Count one request; TooManyRequestsError if the client's bucket is empty."""
        now = self._clock()
        with self._lock:
            tokens, then = self._buckets.pop(client, (self._burst, now))
            tokens = min(self._burst, tokens + (now - then) * self._rate)
            self._buckets[client] = (max(tokens - 1, 0.0), now)
            if len(self._buckets) > MAX_TRACKED_CLIENTS:
                self._buckets.popitem(last=False)
        if tokens < 1:
            raise TooManyRequestsError("this client sends requests too fast")


def require_room(store: Store, settings: Settings, client: str) -> None:
    """Raise if one more job is too much for the queue, or for this client."""
    if store.count_open(client) >= settings.max_client_jobs:
        raise TooManyRequestsError(f"{settings.max_client_jobs} jobs of this client are open")
    if store.count_open() >= settings.max_open_jobs:
        raise BusyError(f"{settings.max_open_jobs} jobs are open")


def require_disk(settings: Settings) -> None:
    """Raise if the data folder's disk is nearly full."""
    if shutil.disk_usage(settings.data).free < settings.min_free_bytes:
        raise StorageFullError("free disk space is below the service's minimum")
