"""A worker scans one slide at a time, whatever the queue hands out: torch.fx traces one network at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from service.jobs.catalog import Catalog
from service.jobs.database import make_engine
from service.jobs.lifecycle import Job, JobState, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.store import Store
from service.settings import Settings
from service.worker.worker import Worker
from tests.service.fields import make_field, png

JOBS = 4


@pytest.fixture
def worker(tmp_path: Path, models_folder: Path) -> Iterator[Worker]:
    """A worker, and JOBS jobs that no queue has handed out."""
    settings = Settings(data=tmp_path, models=models_folder, default_model="tiny", device="cpu")
    settings.results.mkdir()
    store = Store(make_engine(settings.store_url))
    migrate_store(store.engine)
    entry = Catalog(models_folder, "tiny").find("tiny")
    for number in range(JOBS):
        (tmp_path / f"{number}.png").write_bytes(png(make_field(number)))
        request = ScanRequest(f"{number}.png", f"{number:064}", "a.png", "tiny", entry.sha256, entry.card_sha256)
        store.insert(Job(str(number), request, "local", time.time()), enqueue=lambda _connection: None)
    yield Worker(settings, store, "w")
    store.engine.dispose()


def test_jobs_that_are_handed_out_at_once_are_scanned_one_after_the_other(worker: Worker) -> None:
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(worker.run_job, map(str, range(JOBS))))
    done = sorted(worker._store.list_jobs(), key=lambda job: job.started_at or 0.0)
    assert [job.state for job in done] == [JobState.SUCCEEDED] * JOBS
    for earlier, later in pairwise(done):
        assert earlier.finished_at is not None
        assert later.started_at is not None
        assert earlier.finished_at <= later.started_at


def test_a_job_that_is_just_being_started_is_given_back_too(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    started, stopping = threading.Event(), worker._stopping

    def look_up(*_: object) -> None:  # Between the stored start of a job and its scan.
        started.set()
        assert stopping.wait(60)

    monkeypatch.setattr("service.worker.worker.own_figures", look_up)
    # A worker that has stopped never comes back to its queue: its thread ends with the process.
    threading.Thread(target=worker.run_job, args=["0"], daemon=True).start()
    assert started.wait(60)
    worker.stop()
    assert worker._store.get("0").state is JobState.QUEUED
    threading.Thread(target=worker.run_job, args=["1"], daemon=True).start()
    worker.stop()
    assert worker._store.get("1").state is JobState.QUEUED
