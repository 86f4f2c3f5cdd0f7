"""Which workers live is told by one clock, and known until they are removed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.jobs.database import make_engine
from service.jobs.migrating import migrate_store
from service.jobs.presence import Presence, WorkerRow
from service.jobs.store import Store
from service.settings import Settings
from tests.service.own_postgres import run_postgres


@pytest.fixture
def store(tmp_path: Path):
    store = Store(make_engine(Settings(data=tmp_path).store_url))
    migrate_store(store.engine)
    yield store
    store.engine.dispose()


def test_workers_are_known_until_they_are_removed(store: Store) -> None:
    presence = Presence(store.engine)
    for _ in range(2):
        presence.record_heartbeat(WorkerRow("w", "host", "cpu", 1.0))
    (found,) = presence.list_workers()
    assert replace(found, silent_s=0.0) == WorkerRow("w", "host", "cpu", 1.0)
    presence.remove_worker("w", silent_s=3600.0)
    assert len(presence.list_workers()) == 1, "it has been heard of since"
    presence.record_heartbeat(WorkerRow("w", "host", "cpu", 1.0), is_last=True)
    assert presence.list_workers()[0].silent_s > 1e9
    presence.remove_worker("w", silent_s=3600.0)
    assert presence.list_workers() == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_workers_are_heard_of_by_the_clock_of_the_database(tmp_path: Path, monkeypatch, kind: str) -> None:
    (tmp_path / "postgres").mkdir()
    with run_postgres(tmp_path / "postgres", wanted=kind == "postgres") as environment:
        url = Settings(data=tmp_path, database_url=environment.get("MITOSCAN_DATABASE_URL")).store_url
        store = Store(make_engine(url))
        migrate_store(store.engine)
        presence, clock = Presence(store.engine), time.time
        monkeypatch.setattr(time, "time", lambda: clock() + 3600)  # This host's clock is an hour ahead.
        presence.record_heartbeat(WorkerRow("w", "host", "cpu", 1.0))
        monkeypatch.undo()
        assert -1 < presence.list_workers()[0].silent_s < 60
        store.engine.dispose()
