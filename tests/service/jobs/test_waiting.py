"""Waiting: who waits hears of every change, also of those that happen while the store is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from service.jobs import lifecycle, waiting
from service.jobs.database import make_engine
from service.jobs.lifecycle import Job, JobState, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.store import Store
from service.jobs.waiting import LONGEST_INTERVAL, POLL_INTERVAL, ChangeDetector, JobWaiter, choose_pause


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The store of the API and that of a worker: one file, connections of their own."""
    pair = tuple(Store(make_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")) for _ in range(2))
    migrate_store(pair[0].engine)
    pair[0].insert(Job("a", ScanRequest("s", "0", "s", "tiny", "1"), "local", 1.0), enqueue=lambda _: None)
    yield pair
    for store in pair:
        store.engine.dispose()


def run(store: Store, waited: Coroutine[Any, Any, Job], waiter: JobWaiter) -> Job:
    async def both() -> Job:
        looking = asyncio.create_task(waiter.run())
        try:
            return await waited
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    return asyncio.run(both())


def finish(store: Store) -> None:
    store.update("a", lambda job: lifecycle.finish(job, now=2.0))


def test_who_waits_hears_of_the_end(stores: tuple[Store, Store]) -> None:
    api, worker = stores
    waiter = JobWaiter(api)
    threading.Timer(0.2, finish, [worker]).start()
    assert run(api, waiter.wait("a", timeout_s=20), waiter).state is JobState.SUCCEEDED


def test_who_waits_outlives_a_store_that_is_away(stores: tuple[Store, Store], monkeypatch) -> None:
    monkeypatch.setattr(waiting, "AWAY_INTERVAL", 0.05)
    api, worker = stores
    waiter = JobWaiter(api)

    def rename(before: str, after: str) -> None:
        with worker.engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {before} RENAME TO {after}"))

    def disturb() -> None:
        rename("mitoscan_jobs", "elsewhere")
        threading.Event().wait(0.2)
        rename("elsewhere", "mitoscan_jobs")
        finish(worker)

    threading.Timer(0.2, disturb).start()
    assert run(api, waiter.wait("a", timeout_s=20), waiter).state is JobState.SUCCEEDED


def test_a_mark_moves_when_others_write_and_only_then(stores: tuple[Store, Store]) -> None:
    api, worker = stores
    mark = ChangeDetector(api.engine)
    assert mark.has_changed()
    for _ in range(3):
        api.get("a")
        worker.get("a")
        assert not mark.has_changed()
    finish(worker)
    assert mark.has_changed()
    assert not mark.has_changed()
    mark.close()


@given(st.lists(st.floats(0, 1e6), max_size=5), st.floats(0, 1e6))
def test_nobody_waits_much_longer_than_a_hundredth_more(since: list[float], now: float) -> None:
    since = [min(began, now) for began in since]
    pause = choose_pause(since, now)
    assert POLL_INTERVAL <= pause <= LONGEST_INTERVAL
    for began in since:
        assert pause <= max(POLL_INTERVAL, 0.01 * (now - began) + 1e-9)
