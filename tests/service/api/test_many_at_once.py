"""Load cannot stop the service: who comes too much is told so, health is told at once, and no accepted job is lost."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.access.limits import BusyError, SubmissionLimiter
from service.jobs.database import PATIENCE, StoreUnavailableError, make_engine
from service.jobs.migrating import migrate_store
from service.jobs.store import Store
from tests.service.fields import make_field, png
from tests.service.jobs.test_store import add, job
from tests.service.own_postgres import run_postgres
from tests.service.server_process import Server, start_process

SUBMITS = 200
#: Slides among them: the rest ask for what is known by then.
DIFFERENT = 4
#: Open jobs of a client: fewer than are asked for.
OPEN = 150
ASYNC = {"Prefer": "respond-async"}
#: What health and readiness take: nearly always, and at worst on a machine that does other things too.
USUAL, WORST = 1.0, 5.0  # seconds


@contextmanager
def probing(server: Server) -> Iterator[list[tuple[str, int, float]]]:
    """Path, status and seconds of every look at health and readiness meanwhile."""
    seen: list[tuple[str, int, float]] = []
    is_over = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=server.client.base_url, timeout=60) as client:
            while not is_over.wait(0.1):
                for path in ("/healthz", "/readyz"):
                    began = time.monotonic()
                    status = client.get(path).status_code
                    seen.append((path, status, time.monotonic() - began))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


async def ask_for(server: Server, slides: list[bytes]) -> list[httpx.Response]:
    """The answers to all of them, asked at the same moment."""
    limits = httpx.Limits(max_connections=len(slides))
    async with httpx.AsyncClient(base_url=server.client.base_url, timeout=120, limits=limits) as client:
        asked = [client.post("/detect", params={"stride": "8"}, content=slide, headers=ASYNC) for slide in slides]
        return await asyncio.gather(*asked)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_200_submits_at_once_are_taken_or_told_to_come_back_and_none_is_lost(
    tmp_path: Path, models_folder: Path, store: str
) -> None:
    slides = [png(make_field(number % DIFFERENT, 48, 48)) for number in range(SUBMITS)]
    (tmp_path / "postgres").mkdir()
    options = {"MITOSCAN_MAX_CLIENT_JOBS": str(OPEN), "MITOSCAN_WORKERS": "0"}
    with (
        run_postgres(tmp_path / "postgres", wanted=store == "postgres") as environment,
        Server(tmp_path, models_folder, **options, **environment).start(wait_for_worker=False) as server,
    ):
        with probing(server) as seen:
            answers = asyncio.run(ask_for(server, slides))
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) <= {202, 429, 503}, statuses
        assert 0 < statuses[202] <= OPEN <= statuses[202] + statuses[503]
        for answer in answers:
            if answer.status_code != 202:
                assert answer.headers["content-type"] == "application/problem+json"
                assert int(answer.headers["retry-after"]) > 0
        times = [took for _, _, took in seen]
        assert np.quantile(times, 0.9) < USUAL, seen
        assert max(times) < WORST, seen
        assert {status for path, status, _ in seen if path == "/healthz"} == {200}
        accepted = {answer.json()["id"] for answer in answers if answer.status_code == 202}
        with running_worker(server):
            for job_id in accepted:
                assert server.wait(job_id, timeout=300)["status"] == "SUCCEEDED"
        assert {known["id"] for known in server.client.get("/jobs?limit=1000").json()["jobs"]} == accepted


@contextmanager
def running_worker(server: Server) -> Iterator[None]:
    """A worker beside a server that has started none."""
    command = [sys.executable, "-m", "service.cli", "worker", "--data", str(server.folder / "data")]
    worker = start_process(command, env=server.environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(60)


def test_a_locked_store_is_503_and_no_request_waits_for_it_without_end(tmp_path: Path, models_folder: Path) -> None:
    with Server(tmp_path, models_folder, MITOSCAN_WORKERS="0").start(wait_for_worker=False) as server:
        server.submit(png(make_field(0, 48, 48)))
        lock = sqlite3.connect(tmp_path / "data" / "store.sqlite", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        slides = [png(make_field(number, 48, 48)) for number in range(1, 13)]
        began = time.monotonic()
        with probing(server) as seen:
            answers = asyncio.run(ask_for(server, slides))
        assert time.monotonic() - began < 12 * PATIENCE
        lock.execute("ROLLBACK")
        lock.close()
        for answer in answers:
            assert answer.status_code == 503, answer.text
            assert answer.json()["type"] in {"urn:mitoscan:store-unavailable", "urn:mitoscan:busy"}
            assert answer.headers["retry-after"] == "10"
        assert max(took for _, _, took in seen) < WORST
        assert server.submit(slides[0])
        assert len(server.client.get("/jobs").json()["jobs"]) == 2


def test_a_pool_without_a_free_connection_says_so(tmp_path: Path) -> None:
    store = Store(make_engine(f"sqlite:///{tmp_path / 'store.sqlite'}", patience=0.1, connections=1))
    migrate_store(store.engine)
    add(store, job("a"))
    with store.engine.connect(), pytest.raises(StoreUnavailableError):
        store.get("a")
    assert store.get("a").id == "a"
    store.engine.dispose()


def test_counting_and_inserting_take_one_connection(tmp_path: Path) -> None:
    store = Store(make_engine(f"sqlite:///{tmp_path / 'store.sqlite'}", patience=0.1, connections=1))
    migrate_store(store.engine)
    counted: list[int] = []
    for name in "ab":
        store.insert(
            job(name),
            admit=lambda connection: counted.append(store.count_open("local", connection=connection)),
            enqueue=lambda _connection: None,
        )
    assert counted == [0, 1]
    store.engine.dispose()


def test_who_waits_too_long_for_a_turn_is_sent_away() -> None:
    async def crowd() -> list[object]:
        limiter, held = SubmissionLimiter(1, patience=0.2), threading.Event()
        threading.Timer(1.0, held.set).start()
        return await asyncio.gather(*(limiter.run(held.wait) for _ in range(3)), return_exceptions=True)

    first, *others = asyncio.run(crowd())
    assert first is True
    assert all(isinstance(other, BusyError) for other in others)
