"""Waiting: one loop reads the store for everyone who waits for a job, so that a hundred clients cost one query."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from anyio import to_thread

from service.jobs import Job
from service.store import Store

#: Seconds between two looks at the store while someone waits.
POLL_INTERVAL = 0.02


class JobWaiter:
    """Tells subscribers about the changes of a job."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscribers: dict[str, list[asyncio.Event]] = {}
        self._versions: dict[str, int] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look at the store for as long as anyone waits. Runs until cancelled."""
        while True:
            if not self._subscribers:
                self._wake.clear()
                await self._wake.wait()
            versions = await to_thread.run_sync(self._store.versions, list(self._subscribers))
            for job_id, version in versions.items():
                if self._versions.get(job_id) != version:
                    self._versions[job_id] = version
                    for event in self._subscribers.get(job_id, ()):
                        event.set()
            await asyncio.sleep(POLL_INTERVAL)

    async def changes(self, job_id: str, *, timeout_s: float | None = None) -> AsyncIterator[Job]:
        """The job as it is, then whenever it has changed, until it is final or the time is over."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        changed = asyncio.Event()
        self._subscribers.setdefault(job_id, []).append(changed)
        self._wake.set()
        try:
            while True:
                changed.clear()
                job = await to_thread.run_sync(self._store.get, job_id)
                yield job
                if job.state.is_final:
                    return
                left = None if deadline is None else deadline - time.monotonic()
                try:
                    await asyncio.wait_for(changed.wait(), left)
                except TimeoutError:
                    return
        finally:
            self._leave(job_id, changed)

    async def wait(self, job_id: str, *, timeout_s: float) -> Job:
        """The job once it is final, or as it is when the time is over."""
        last: Job | None = None
        async for job in self.changes(job_id, timeout_s=timeout_s):
            last = job
        assert last is not None
        return last

    def _leave(self, job_id: str, event: asyncio.Event) -> None:
        events = self._subscribers[job_id]
        events.remove(event)
        if not events:
            del self._subscribers[job_id]
            self._versions.pop(job_id, None)
