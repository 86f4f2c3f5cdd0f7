"""The store: what is written is read again, and of two changes at once neither is lost."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from scanner.survey.survey import COARSEST
from service.api import app
from service.api.contract.worklists import ListedJob, UnreadableOut, listed_job
from service.jobs import dbos_queue, lifecycle
from service.jobs.counters import Counters
from service.jobs.database import make_engine, metadata, writing
from service.jobs.dbos_queue import QueueClient
from service.jobs.delivery import Delivery, DeliveryState, refused
from service.jobs.job_rows import UnreadableJob, UnreadableJobError
from service.jobs.lifecycle import Fetch, Job, JobProgress, JobState, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.retention import DAY, clean
from service.jobs.store import DuplicateJobError, JobNotFoundError, Store
from service.results.results import Answer, Results
from service.review.worklist import Order, Wanted, Worklist
from service.settings import Settings


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    settings = Settings(data=tmp_path, keep_days=10)
    for folder in (settings.uploads, settings.results):
        folder.mkdir()
    return settings


@pytest.fixture
def store(own: Settings):
    store = Store(make_engine(own.store_url))
    migrate_store(store.engine)
    yield store
    store.engine.dispose()


def job(name: str, *, created_at: float = 1.0, key: str | None = None) -> Job:
    request = ScanRequest(f"uploads/{name}/slide.tif", name, "slide.tif", "tiny", "b")
    return Job(name, request, "local", created_at, idempotency_key=key)


def add(store: Store, new: Job) -> None:
    store.insert(new, enqueue=lambda _connection: None)


def test_a_job_comes_back_as_it_went(store: Store) -> None:
    add(store, job("a"))
    store.update("a", lambda now: lifecycle.start(now, worker="w", now=2.5))
    store.update("a", lambda now: lifecycle.advance(now, JobProgress(1, 2, 0.25, 0.5)))
    done = store.update("a", lambda now: lifecycle.fail(now, problem={"type": "x", "status": 422}, now=3.5))
    assert store.get("a") == done
    assert done.version == 3
    with pytest.raises(JobNotFoundError):
        store.get("b")


def test_a_delivery_after_the_end_of_a_job_is_kept_and_is_not_another_end(store: Store) -> None:
    ended: list[str] = []
    store = Store(store.engine, lambda _connection, job: ended.append(job.id))
    add(store, job("a"))
    store.update("a", lambda now: lifecycle.finish(now, now=2.0))
    tried = refused(Delivery(), detail="answered 503", now=3.0, is_last=False)
    store.update("a", lambda now: replace(now, delivery=tried))
    assert store.get("a").delivery == Delivery(DeliveryState.WAITING, 1, 3.0, None, "answered 503")
    assert ended == ["a"]


def test_a_job_whose_slide_is_fetched_comes_back_too(store: Store) -> None:
    add(store, replace(job("a"), fetch=Fetch("s3://slides/a.tif")))
    store.update("a", lambda now: lifecycle.advance_fetch(now, bytes_done=5, bytes_total=9))
    assert store.get("a").fetch == Fetch("s3://slides/a.tif", 5, 9)
    here = store.update("a", lambda now: lifecycle.finish_fetch(now, job("b").request))
    assert (store.get("a"), here.awaits_slide, here.request.slide) == (here, False, "uploads/b/slide.tif")
    assert here.original_request.result_key != here.request.result_key


def test_the_store_knows_the_newest_job_and_the_one_that_waits_longest(store: Store) -> None:
    assert (store.newest_created_at(), store.oldest_waiting_since()) == (None, None)
    for number, name in enumerate("abc"):
        add(store, job(name, created_at=float(number)))
    store.update("a", lambda now: lifecycle.start(now, worker="w", now=2.0))
    assert (store.newest_created_at(), store.oldest_waiting_since()) == (2.0, 1.0)


def test_measures_add_up_whoever_counts(store: Store) -> None:
    counters = Counters(store.engine)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: counters.add("seconds", {"read": 0.5, "net": 2.0}), range(12)))
    counters.put("gpu", "w1", 7.0)
    counters.put("gpu", "w1", 5.0)
    counters.put("gpu", "w2", 1.0)
    counters.forget("gpu", "w2")
    assert counters.read() == {"seconds": {"read": 6.0, "net": 24.0}, "gpu": {"w1": 5.0}}


def test_of_many_changes_at_once_none_is_lost(store: Store) -> None:
    add(store, job("a"))
    store.update("a", lambda now: lifecycle.start(now, worker="w", now=2.0))

    def step(now: Job) -> Job:
        return lifecycle.advance(now, JobProgress(now.progress.tiles_done + 1, 100, 0.0, 0.0))

    threads = [threading.Thread(target=lambda: [store.update("a", step) for _ in range(10)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("a").progress.tiles_done == 50


def test_a_job_that_cannot_be_enqueued_is_not_written(store: Store) -> None:
    def refuse(_connection: object) -> None:
        raise RuntimeError("the queue is away")

    with pytest.raises(RuntimeError):
        store.insert(job("a"), enqueue=refuse)
    assert store.list_jobs() == []


def test_an_idempotency_key_is_a_clients_own_and_used_once(store: Store) -> None:
    add(store, job("a", key="k"))
    with pytest.raises(DuplicateJobError):
        add(store, job("b", key="k"))
    found = store.find_by_idempotency_key("local", "k")
    assert found is not None
    assert found.id == "a"
    assert store.find_by_idempotency_key("other", "k") is None


CHANGES = {
    "a state": {"state": "PAUSED"},
    "a request": {"request": '{"slide": "s", "stain": "IHC"}'},
    "a problem": {"problem": "not JSON"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_job_of_another_version_hides_no_other(store: Store, own: Settings, what: str) -> None:
    for number, name in enumerate("abc"):
        add(store, job(name, created_at=float(number)))
    with writing(store.engine) as connection:
        changed = metadata.tables["mitoscan_jobs"]
        connection.execute(changed.update().where(changed.c.id == "b").values(CHANGES[what]))
    assert store.list_rows() == [store.get("c"), UnreadableJob("b", "local", 1.0), store.get("a")]
    assert [found.id for found in store.list_jobs()] == ["c", "a"]
    with pytest.raises(UnreadableJobError, match="'b' was written by another version"):
        store.get("b")
    listed = Worklist(store.engine).page(Wanted(), order=Order(), place=None, limit=9)
    assert [row.job for row in listed.rows] == store.list_rows()
    assert [type(listed_job(row)) for row in listed.rows] == [ListedJob, UnreadableOut, ListedJob]


def test_options_and_columns_of_a_newer_version_are_passed_over(store: Store) -> None:
    add(store, job("a"))
    with writing(store.engine) as connection:
        connection.execute(sa.text("ALTER TABLE mitoscan_jobs ADD COLUMN colour TEXT DEFAULT 'red'"))
        said = connection.execute(sa.text("SELECT request FROM mitoscan_jobs")).scalar_one()
        newer = json.loads(said)
        newer["options"]["colour"] = "red"
        connection.execute(sa.text("UPDATE mitoscan_jobs SET request = :said"), {"said": json.dumps(newer)})
    assert store.get("a") == job("a")


def test_files_are_kept_while_a_job_of_another_version_may_need_them(store: Store, own: Settings) -> None:
    dbos_queue.migrate(own.store_url)
    name = "a" * 64
    add(store, job(name))
    put_files(own, name)
    with writing(store.engine) as connection:
        connection.execute(sa.text("UPDATE mitoscan_jobs SET state = 'PAUSED'"))
    with closing(QueueClient(store.engine)) as queues:
        clean(store, queues, own, 4e9)
    assert (own.uploads / name / "slide.tif").is_file()
    assert Results(own.results).has(job(name).request.result_key)


def test_a_worker_waits_for_a_store_that_is_away(own: Settings, monkeypatch) -> None:
    monkeypatch.setattr("service.jobs.store.AWAY_INTERVAL", 0.05)
    patient = Store(make_engine(own.store_url), is_patient=True)
    migrate_store(patient.engine)
    add(patient, job("a"))

    def rename(before: str, after: str) -> None:
        with writing(patient.engine) as connection:
            connection.execute(sa.text(f"ALTER TABLE {before} RENAME TO {after}"))

    rename("mitoscan_jobs", "elsewhere")
    threading.Timer(0.3, rename, ["elsewhere", "mitoscan_jobs"]).start()
    assert patient.update("a", lambda now: lifecycle.start(now, worker="w", now=2.0)).state is JobState.RUNNING
    patient.engine.dispose()


def put_files(own: Settings, name: str, size: int = 1000) -> None:
    upload = own.uploads / name
    upload.mkdir()
    (upload / "slide.tif").write_bytes(bytes(size))
    results = Results(own.results)
    results.publish(
        results.work_folder(name), job(name).request.result_key, Answer({}, {}, 0, 0.5, 0.05, [], [], {}, [])
    )


def test_what_is_old_goes_and_what_an_open_job_needs_stays(store: Store, own: Settings) -> None:
    old, new, waiting = (letter * 64 for letter in "abc")
    dbos_queue.migrate(own.store_url)
    with closing(QueueClient(store.engine)) as queues:
        for name in (old, new, waiting):
            add(store, job(name))
            put_files(own, name)
        store.update(old, lambda now: lifecycle.finish(now, now=1.0))
        store.update(new, lambda now: lifecycle.finish(now, now=20 * DAY))
        clean(store, queues, own, 20 * DAY)  # Files made now are older than an hour only from the future's view.
        assert {found.id for found in store.list_jobs()} == {new, waiting}
        clean(store, queues, Settings(data=own.data, keep_days=4e9 / DAY - 10), 4e9)
    assert {path.name for path in own.uploads.iterdir()} == {new, waiting}
    assert Results(own.results).has(job(new).request.result_key)
    assert not Results(own.results).has(job(old).request.result_key)


def test_what_is_said_twice_is_the_same() -> None:
    assert app.COARSEST == COARSEST
    assert {state.value for state in JobState} == {"QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}
