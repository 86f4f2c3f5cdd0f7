"""Readiness: whether scans are accepted and will run, answered within a second whatever else the API is doing.

The check has its own thread and database connection, so that neither a burst of requests nor a hanging database delays
the answer. Requests that come at the same time share one check.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from service.access.limits import StorageFullError, require_disk
from service.jobs.catalog import Catalog
from service.jobs.database import StoreUnavailableError, make_engine
from service.jobs.presence import Presence
from service.settings import Settings

#: A check without an answer by then counts as failed.
PATIENCE = 0.8  # seconds
#: The same for one answer of the database.
STORE_PATIENCE = 0.5  # seconds


class Readiness:
    """Checks database, disk, model and workers."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings, self._catalog = settings, catalog
        self._engine = make_engine(settings.store_url, patience=STORE_PATIENCE, connections=1)
        self._presence = Presence(self._engine)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._pending: asyncio.Future[dict[str, bool]] | None = None

    async def checks(self) -> dict[str, bool]:
        """Name of a check -> whether it passed."""
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().run_in_executor(self._thread, self._check)
        try:
            async with asyncio.timeout(PATIENCE):
                found = await asyncio.shield(self._pending)
        except TimeoutError:
            found = {"store": False, "disk": False, "worker": False}
        return found | {"model": self._catalog.default in self._catalog.entries}

    def _check(self) -> dict[str, bool]:
        try:
            require_disk(self._settings)
            has_disk = True
        except (StorageFullError, OSError):
            has_disk = False
        try:
            has_worker = any(row.silent_s <= self._settings.dead_after_s for row in self._presence.list_workers())
            has_store = True
        except StoreUnavailableError:
            has_worker = has_store = False
        return {"store": has_store, "disk": has_disk, "worker": has_worker}

    def close(self) -> None:
        """Stop the thread and close the connection."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()
