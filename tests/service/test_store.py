"""The store: what is written is read again, and of two changes at once neither is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.scanning import COARSEST
from service import app, jobs, queue
from service.database import make_engine
from service.jobs import Fetch, Job, JobProgress, JobState, ScanRequest
from service.measures import Measures
from service.queue import QueueClient
from service.results import Answer, Results
from service.retention import DAY, clean
from service.settings import Settings
from service.store import DuplicateJobError, JobNotFoundError, Store, WorkerRow


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    settings = Settings(data=tmp_path, keep_days=10)
    for folder in (settings.uploads, settings.results):
        folder.mkdir()
    return settings


@pytest.fixture
def store(own: Settings):
    store = Store(make_engine(own.store_url))
    store.create_tables()
    yield store
    store.engine.dispose()


def job(name: str, *, created_at: float = 1.0, key: str | None = None) -> Job:
    request = ScanRequest(f"uploads/{name}/slide.tif", name, "slide.tif", "tiny", "b")
    return Job(name, request, "local", created_at, idempotency_key=key)


def add(store: Store, new: Job) -> None:
    store.insert(new, enqueue=lambda _connection: None)


def test_a_job_comes_back_as_it_went(store: Store) -> None:
    add(store, job("a"))
    store.update("a", lambda now: jobs.start(now, worker="w", now=2.5))
    store.update("a", lambda now: jobs.advance(now, JobProgress(1, 2, 0.25, 0.5)))
    done = store.update("a", lambda now: jobs.fail(now, problem={"type": "x", "status": 422}, now=3.5))
    assert store.get("a") == done
    assert done.version == 3
    with pytest.raises(JobNotFoundError):
        store.get("b")


def test_a_job_whose_slide_is_fetched_comes_back_too(store: Store) -> None:
    add(store, replace(job("a"), fetch=Fetch("s3://slides/a.tif")))
    store.update("a", lambda now: jobs.advance_fetch(now, bytes_done=5, bytes_total=9))
    assert store.get("a").fetch == Fetch("s3://slides/a.tif", 5, 9)
    here = store.update("a", lambda now: jobs.arrive(now, job("b").request))
    assert (store.get("a"), here.awaits_slide, here.request.slide) == (here, False, "uploads/b/slide.tif")
    assert here.asked.result_key != here.request.result_key


def test_the_store_knows_the_newest_job_and_the_one_that_waits_longest(store: Store) -> None:
    assert (store.last_asked_at(), store.oldest_waiting_since()) == (None, None)
    for number, name in enumerate("abc"):
        add(store, job(name, created_at=float(number)))
    store.update("a", lambda now: jobs.start(now, worker="w", now=2.0))
    assert (store.last_asked_at(), store.oldest_waiting_since()) == (2.0, 1.0)


def test_measures_add_up_whoever_counts(store: Store) -> None:
    measures = Measures(store.engine)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: measures.add("seconds", {"read": 0.5, "net": 2.0}), range(12)))
    measures.put("gpu", "w1", 7.0)
    measures.put("gpu", "w1", 5.0)
    measures.put("gpu", "w2", 1.0)
    measures.forget("gpu", "w2")
    assert measures.read() == {"seconds": {"read": 6.0, "net": 24.0}, "gpu": {"w1": 5.0}}


def test_of_many_changes_at_once_none_is_lost(store: Store) -> None:
    add(store, job("a"))
    store.update("a", lambda now: jobs.start(now, worker="w", now=2.0))

    def step(now: Job) -> Job:
        return jobs.advance(now, JobProgress(now.progress.tiles_done + 1, 100, 0.0, 0.0))

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


def test_workers_are_known_until_they_are_removed(store: Store) -> None:
    row = WorkerRow("w", "host", "cpu", 1.0, 2.0)
    store.beat(row)
    store.beat(row)
    assert store.list_workers() == [row]
    store.remove_worker("w", seen_before=2.0)
    assert store.list_workers() == [row], "it has been seen since"
    store.remove_worker("w", seen_before=3.0)
    assert store.list_workers() == []


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
    queue.migrate(own.store_url)
    with closing(QueueClient(store.engine)) as queues:
        for name in (old, new, waiting):
            add(store, job(name))
            put_files(own, name)
        store.update(old, lambda now: jobs.finish(now, now=1.0))
        store.update(new, lambda now: jobs.finish(now, now=20 * DAY))
        clean(store, queues, own, 20 * DAY)  # Files made now are older than an hour only from the future's view.
        assert {found.id for found in store.list_jobs()} == {new, waiting}
        clean(store, queues, Settings(data=own.data, keep_days=4e9 / DAY - 10), 4e9)
    assert {path.name for path in own.uploads.iterdir()} == {new, waiting}
    assert Results(own.results).has(job(new).request.result_key)
    assert not Results(own.results).has(job(old).request.result_key)


def test_what_is_said_twice_is_the_same() -> None:
    assert app.COARSEST == COARSEST
    assert {state.value for state in JobState} == {"QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}
