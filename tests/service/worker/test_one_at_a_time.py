"""A worker scans one slide at a time, whatever the queue hands out: torch.fx traces one network at a time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from service.jobs.catalog import Catalog
from service.jobs.database import make_engine
from service.jobs.lifecycle import Job, JobState, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.store import Store
from service.settings import Settings
from service.worker.worker import Worker
from tests.service.fields import make_field, png

JOBS = 4


def test_jobs_that_are_handed_out_at_once_are_scanned_one_after_the_other(tmp_path: Path, models_folder: Path) -> None:
    settings = Settings(data=tmp_path, models=models_folder, default_model="tiny", device="cpu")
    settings.results.mkdir()
    store = Store(make_engine(settings.store_url))
    migrate_store(store.engine)
    entry = Catalog(models_folder, "tiny").find("tiny")
    for number in range(JOBS):
        (tmp_path / f"{number}.png").write_bytes(png(make_field(number)))
        request = ScanRequest(f"{number}.png", f"{number:064}", "a.png", "tiny", entry.sha256, entry.card_sha256)
        store.insert(Job(str(number), request, "local", time.time()), enqueue=lambda _connection: None)
    worker = Worker(settings, store, "w")
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(worker.run_job, map(str, range(JOBS))))
    done = sorted(store.list_jobs(), key=lambda job: job.started_at or 0.0)
    assert [job.state for job in done] == [JobState.SUCCEEDED] * JOBS
    for earlier, later in pairwise(done):
        assert earlier.finished_at is not None
        assert later.started_at is not None
        assert earlier.finished_at <= later.started_at
    store.engine.dispose()
