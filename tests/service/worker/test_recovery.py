"""No job is lost: whoever dies, and when, every accepted job ends with the files it would have had undisturbed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.worker.worker import EXIT_RESTART
from tests.service.fields import make_field, make_large_field, png
from tests.service.kills import PATIENT, disturb, fields, scan_undisturbed
from tests.service.own_postgres import run_postgres
from tests.service.server_process import Server, start_process, until

LARGE = png(make_large_field(30, 9))
QUERY = {"stride": "1", "threshold": "0.3"}


@pytest.fixture(scope="module")
def undisturbed(server: Server) -> dict[str, str]:
    job_id = server.submit(LARGE, **QUERY)
    assert server.wait(job_id)["status"] == "SUCCEEDED"
    return server.files(job_id)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment for a Postgres of our own."""
    with run_postgres(tmp_path_factory.mktemp("postgres")) as environment:
        yield environment


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def own_server(request, tmp_path: Path, models_folder: Path) -> Iterator[Server]:
    """A server that may be killed."""
    environment = request.getfixturevalue("postgres") if request.param == "postgres" else {}
    with Server(tmp_path, models_folder, **PATIENT, **environment).start() as running:
        yield running


def test_a_killed_worker_and_a_killed_server_lose_nothing(own_server: Server, undisturbed: dict[str, str]) -> None:
    large = own_server.submit(LARGE, **QUERY)
    small = [own_server.submit(png(make_field(seed)), **QUERY) for seed in range(40, 44)]
    own_server.wait(large, "RUNNING")
    own_server.kill_workers()
    job = until(lambda: _running_again(own_server, large), own_server)
    assert job["attempt"] == 2
    orphans = own_server.worker_pids
    own_server.process.kill()  # The worker notices that its server is gone, and gives its job back.
    own_server.process.wait()
    own_server.client.close()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/exe").exists() for pid in orphans):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    own_server.start()
    for job_id in [large, *small]:
        assert own_server.wait(job_id)["status"] == "SUCCEEDED"
    assert own_server.files(large) == undisturbed


@pytest.mark.slow
def test_kills_at_random_moments_lose_and_change_nothing(
    own_server: Server, models_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "alone").mkdir()
    slides = fields(4)
    found, killed = disturb(own_server, slides, kills=3, seed=2)
    assert set(killed) == {"worker", "api", "both"}
    assert found == scan_undisturbed(tmp_path / "alone", models_folder, slides)


@pytest.mark.parametrize("fate", [pytest.param("killed", marks=pytest.mark.slow), "paused"])
def test_another_worker_takes_over(tmp_path: Path, models_folder: Path, undisturbed, fate: str) -> None:
    command = [sys.executable, "-m", "service.cli", "worker", "--data", str(tmp_path / "data")]
    server = Server(tmp_path, models_folder, MITOSCAN_WORKERS="0").start(wait_for_worker=False)
    processes = [start_process(command, env=server.environment)]
    try:
        job_id = server.submit(LARGE, **QUERY)
        server.wait(job_id, "RUNNING")
        if fate == "killed":
            processes[0].kill()
        else:
            pause(processes[0], tmp_path / "data" / "store.sqlite")
        processes.append(start_process(command, env=server.environment))
        job = server.wait(job_id, timeout=180)
        assert (job["status"], job["attempt"]) == ("SUCCEEDED", 2)
        if fate == "paused":  # It wakes, finds that another worker has the job, and ends itself.
            processes[0].send_signal(signal.SIGCONT)
            assert processes[0].wait(20) == EXIT_RESTART
        assert server.wait(job_id)["attempt"] == 2
        assert server.files(job_id) == undisturbed
    finally:
        for process in processes:
            process.kill()
            process.wait()
        server.stop()


@pytest.mark.slow
def test_a_slide_that_kills_its_workers_fails_with_a_reason(tmp_path: Path, models_folder: Path) -> None:
    with Server(tmp_path, models_folder, MITOSCAN_MAX_ATTEMPTS="2").start() as server:
        job_id = server.submit(LARGE, **QUERY)
        for attempt in (1, 2):
            until(lambda attempt=attempt: _running_again(server, job_id, attempt), server)
            server.kill_workers()
        job = server.wait(job_id)
        assert job["status"] == "FAILED"
        assert job["problem"]["type"].endswith("scan-crashed")
        assert server.client.post("/detect", content=png(make_field(1))).status_code == 200


def test_a_stopped_server_gives_its_job_back_and_finishes_it_later(tmp_path: Path, models_folder, undisturbed) -> None:
    with Server(tmp_path, models_folder).start() as server:
        job_id = server.submit(LARGE, **QUERY)
        server.wait(job_id, "RUNNING")
        server.stop()  # It waits for at most SERVE_STOP_S.
        server.start(wait_for_worker=False)
        assert server.client.get(f"/jobs/{job_id}").json()["status"] == "QUEUED"
        assert server.wait(job_id)["status"] == "SUCCEEDED"
        assert server.files(job_id) == undisturbed


def pause(process: subprocess.Popen[bytes], store: Path) -> None:
    """Pause a process between two of its transactions: within one it would keep SQLite's only write lock."""
    while True:
        process.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(store, timeout=1, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.05)
            else:
                connection.execute("ROLLBACK")
                return


def _running_again(server: Server, job_id: str, attempt: int = 2) -> dict | None:
    job = server.client.get(f"/jobs/{job_id}").json()
    return job if job["status"] == "RUNNING" and job["attempt"] == attempt else None
