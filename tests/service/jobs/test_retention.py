"""Retention removes every kind of leftover, nothing that is needed, and nothing that is not the service's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.jobs import dbos_queue, lifecycle
from service.jobs.database import make_engine
from service.jobs.dbos_queue import QueueClient
from service.jobs.lifecycle import Job, JobState, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.retention import DAY, GRACE, clean
from service.jobs.store import Store
from service.settings import Settings
from service.slides_in import tus
from service.slides_in.holdings import Holding, hold, is_held
from service.slides_in.store_slide import incoming_folder
from service.slides_in.tus import Upload

NOW = 2_000_000_000.0
SLIDE = "5" * 64


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, min_free_bytes=0, keep_days=1)


@contextmanager
def opened(own: Settings) -> Iterator[tuple[Store, QueueClient]]:
    dbos_queue.migrate(own.store_url)
    engine = make_engine(own.store_url)
    queues = QueueClient(engine)
    store = Store(engine, queues.announce_end)
    migrate_store(store.engine)
    try:
        yield store, queues
    finally:
        queues.close()
        engine.dispose()


def job_of(number: int, *, created_at: float, slide: str = SLIDE) -> Job:
    request = ScanRequest(f"uploads/{slide}/slide.png", slide, "slide.png", "tiny", "0" * 64)
    return Job(f"{number:032x}", request, "ann", created_at)


def put(path: Path, *, age: float) -> Path:
    """A folder with a file in it, both of that age in seconds."""
    path.mkdir(parents=True)
    (path / "bytes").write_bytes(b"x")
    for part in (path / "bytes", path):
        os.utime(part, (NOW - age, NOW - age))
    return path


def test_every_kind_of_leftover_goes_and_the_rest_stays(own: Settings) -> None:
    open_job, other = job_of(1, created_at=NOW - 9 * DAY), job_of(2, created_at=NOW - 9 * DAY, slide="6" * 64)
    work, old, young = own.results / "work", 2 * GRACE, GRACE / 2
    gone = [
        put(own.results / ("7" * 64), age=old),
        put(work / other.id, age=old),
        put(work / f"{open_job.id[:-1]}f.2", age=old),
        put(own.uploads / ("6" * 64), age=old),
        put(incoming_folder(own) / ("a" * 32), age=old),
        put(tus.tus_folder(own) / ("b" * 32), age=old + tus.KEEP_S),
    ]
    stays = [
        put(own.results / ("8" * 64), age=young),
        put(work / open_job.id, age=old),
        put(work / f"{open_job.id}.2", age=old),
        put(own.uploads / SLIDE, age=old),
        put(own.uploads / ("9" * 64), age=young),
        put(incoming_folder(own) / ("c" * 32), age=young),
        put(tus.tus_folder(own) / ("d" * 32), age=old),
    ]
    growing = put(incoming_folder(own) / ("e" * 32), age=old)
    os.utime(growing / "bytes", (NOW, NOW))  # An upload of hours: its folder is as old as its beginning.
    for slide in ("6" * 64, SLIDE):
        hold(own, "ann", Holding(slide, "slide.png", 1))
    with opened(own) as (store, queues):
        store.insert(open_job, enqueue=lambda _connection: None)
        done = lifecycle.finish(other, now=NOW - 2 * DAY)
        store.insert(done, enqueue=lambda _connection: None)
        clean(store, queues, own, NOW)
        assert [job.id for job in store.list_jobs()] == [open_job.id]
    assert [path for path in gone if path.exists()] == []
    assert [path for path in [*stays, growing] if not path.exists()] == []
    assert is_held(own, SLIDE)
    assert not is_held(own, "6" * 64)


def test_what_is_not_the_services_is_left_alone_and_stops_nothing(own: Settings) -> None:
    strangers = [
        put(folder / name, age=99 * DAY)
        for folder in (own.uploads, own.results, own.results / "work", incoming_folder(own), tus.tus_folder(own))
        for name in ("lost+found", ".snapshot", "0" * 63, "UPPER" * 12, "a note")
    ]
    for folder in (own.uploads, own.results, tus.tus_folder(own)):
        (folder / "file").write_text("of someone else")
        os.utime(folder / "file", (1, 1))
        (folder / "link").symlink_to("/nonexistent")
        strangers += [folder / "file"]
    last = put(tus.tus_folder(own) / ("b" * 32), age=99 * DAY)
    with opened(own) as (store, queues):
        clean(store, queues, own, NOW)
    assert all(path.exists() for path in strangers)
    assert not last.exists()


def test_what_cannot_be_cleaned_keeps_nothing_else_from_being_cleaned(own: Settings) -> None:
    own.results.write_text("a file where the folder of results should be")
    last = put(tus.tus_folder(own) / ("b" * 32), age=99 * DAY)
    with opened(own) as (store, queues):
        clean(store, queues, own, NOW)
    assert not last.exists()


def test_a_data_folder_without_its_folders_is_clean(own: Settings) -> None:
    with opened(own) as (store, queues):
        clean(store, queues, own, NOW)


def test_an_expired_upload_is_not_found_before_it_is_cleaned_away(own: Settings) -> None:
    upload = Upload("a" * 32, "ann", "slide.tif", 10)
    tus.create(own, upload)
    bytes_of = tus.tus_folder(own) / upload.id / tus.BYTES
    assert tus.find(own, upload.id) == upload
    long_ago = time.time() - tus.KEEP_S - 1
    os.utime(bytes_of, (long_ago, long_ago))
    with pytest.raises(tus.UploadNotFoundError):
        tus.find(own, upload.id)


def test_the_queue_forgets_what_has_long_ended(own: Settings) -> None:
    with opened(own) as (store, queues):
        for number in (1, 2, 3):
            job = job_of(number, created_at=NOW)
            store.insert(job, enqueue=lambda connection, job=job: queues.enqueue(connection, job))
        status = sa.table("workflow_status", sa.column("workflow_uuid"), sa.column("status"), sa.column("completed_at"))
        for number, age in ((1, 2 * DAY), (2, DAY / 2)):
            ended = {"status": "SUCCESS", "completed_at": int((NOW - age) * 1000)}
            where = status.c.workflow_uuid == f"{number:032x}"
            with store.engine.begin() as connection:
                assert connection.execute(sa.update(status).where(where).values(ended)).rowcount == 1
        clean(store, queues, own, NOW)
        with store.engine.connect() as connection:
            left = {row.workflow_uuid for row in connection.execute(sa.select(status))}
        assert left == {f"{number:032x}" for number in (2, 3)}
        assert store.count_by_state()[JobState.QUEUED] == 3


def test_the_oldest_go_first_beyond_the_quota(own: Settings) -> None:
    own = own.model_copy(update={"quota_bytes": 2, "keep_days": 100.0})
    with opened(own) as (store, queues):
        for number in (1, 2, 3):
            slide = f"{number}" * 64
            put(own.uploads / slide, age=2 * GRACE)
            job = lifecycle.finish(job_of(number, created_at=NOW - 100 + number, slide=slide), now=NOW)
            store.insert(replace(job, version=0), enqueue=lambda _connection: None)
        clean(store, queues, own, NOW)
        assert {job.id[-1] for job in store.list_jobs()} == {"2", "3"}
    assert not (own.uploads / ("1" * 64)).exists()
