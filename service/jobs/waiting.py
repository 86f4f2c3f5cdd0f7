"""Waiting for jobs: one loop reads the database for all requests that wait, so that a hundred of them cost one query.

With SQLite, a cheap check tells whether the database has changed at all; the query runs only then.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterable

import sqlalchemy as sa
from anyio import to_thread

from service.jobs.database import StoreUnavailableError
from service.jobs.lifecycle import Job
from service.jobs.store import Store

#: Seconds between two polls: short for a request that has just begun to wait, since the scan of a field is short, and
#: longer the longer it has waited, so that polling delays an answer by about one per cent of the scan's time.
POLL_INTERVAL = 0.005
LONGEST_INTERVAL = 0.1
PATIENCE = 0.01
#: Seconds between two polls while the database does not answer.
AWAY_INTERVAL = 1.0


def choose_pause(waiting_since: Iterable[float], now: float) -> float:
    """Seconds until the next query, by the request that has waited least."""
    return min(LONGEST_INTERVAL, max(POLL_INTERVAL, PATIENCE * (now - max(waiting_since, default=now))))


class ChangeDetector:
    """Detects whether another process may have written to the database since the last check."""

    def __init__(self, engine: sa.Engine) -> None:
        self._connection = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        self._seen: object = None
        if self._connection:
            self._connection.cursor().execute("PRAGMA busy_timeout=0")  # It runs in the event loop and must not block.

    def has_changed(self) -> bool:
        """False if nothing was written; True also where only a query can tell, as with PostgreSQL."""
        if self._connection is None:
            return True
        try:
            mark = self._connection.cursor().execute("PRAGMA data_version").fetchone()
        except sqlite3.OperationalError:
            return True
        seen, self._seen = self._seen, mark
        return bool(mark != seen)

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()


class JobWaiter:
    """Notifies requests of the changes of a job."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Job id -> event of each request that waits for the job, and since when it waits.
        self._subscribers: dict[str, dict[asyncio.Event, float]] = {}
        self._versions: dict[str, int] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Poll the database while any request waits. Runs until cancelled."""
        mark, is_due = ChangeDetector(self._store.engine), True
        try:
            while True:
                if not self._subscribers:
                    self._wake.clear()
                    await self._wake.wait()
                is_due = mark.has_changed() or is_due
                if is_due:
                    is_due = not await self._poll()
                since = [began for events in self._subscribers.values() for began in events.values()]
                await asyncio.sleep(choose_pause(since, time.monotonic()))
        finally:
            mark.close()

    async def _poll(self) -> bool:
        """Notify of changed jobs; False if the database does not answer, in which case the requests go on waiting."""
        try:
            versions = await to_thread.run_sync(self._store.versions, list(self._subscribers))
        except StoreUnavailableError:
            await asyncio.sleep(AWAY_INTERVAL)
            return False
        for job_id, version in versions.items():
            if self._versions.get(job_id) != version:
                self._versions[job_id] = version
                for event in self._subscribers.get(job_id, ()):
                    event.set()
        return True

    async def changes(self, job_id: str, *, timeout_s: float | None = None) -> AsyncGenerator[Job]:
        """The current job, then the job after each change, until it is final or the time is over.

        While the database is away this waits: the job is not lost.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        changed = asyncio.Event()
        self._subscribers.setdefault(job_id, {})[changed] = time.monotonic()
        self._wake.set()
        try:
            while True:
                changed.clear()
                try:
                    job = await to_thread.run_sync(self._store.get, job_id)
                except StoreUnavailableError:
                    changed.set()
                    await asyncio.sleep(AWAY_INTERVAL)
                else:
                    yield job
                    if job.state.is_final:
                        return
                left = None if deadline is None else deadline - time.monotonic()
                try:
                    await asyncio.wait_for(changed.wait(), left)
                except TimeoutError:
                    return
        finally:
            self._unsubscribe(job_id, changed)

    async def wait(self, job_id: str, *, timeout_s: float) -> Job:
        """The job once it is final, or as it is when the time is over."""
        last: Job | None = None
        async for job in self.changes(job_id, timeout_s=timeout_s):
            last = job
        assert last is not None
        return last

    def _unsubscribe(self, job_id: str, event: asyncio.Event) -> None:
        events = self._subscribers[job_id]
        del events[event]
        if not events:
            del self._subscribers[job_id]
            self._versions.pop(job_id, None)
