"""A store that goes away and comes back, a worker that dies, a stop: no job is lost by any of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from service.jobs import lifecycle
from service.jobs.database import ABANDONED_S, make_engine, reading
from service.jobs.lifecycle import JobState
from service.settings import Settings
from service.worker import stop_times
from service.worker.takeover import requeue_or_end
from tests.service import own_postgres
from tests.service.fields import make_field, make_large_field, png
from tests.service.jobs.test_store import job
from tests.service.server_process import Server, start_process, until

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_postgres_that_is_stopped_and_started_again_costs_no_job(tmp_path: Path, models_folder: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    with (
        own_postgres.run_postgres(folder) as environment,
        Server(tmp_path, models_folder, **environment).start() as server,
    ):
        running = server.submit(png(make_large_field(7, 8)), stride="1")
        waiting = server.submit(png(make_field(8, 48, 48)))
        server.wait(running, "RUNNING")
        own_postgres.stop(folder)
        began = time.monotonic()
        answer = server.client.get(f"/jobs/{running}")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:mitoscan:store-unavailable")
        assert server.client.post("/detect", content=png(make_field(9, 48, 48))).status_code == 503
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/readyz").json()["checks"]["store"] is False
        time.sleep(max(0.0, began + 5 - time.monotonic()))  # Longer than workers may be silent here.
        again = own_postgres.start_again(folder)
        try:
            until(lambda: server.client.get("/readyz").status_code == 200, server)
            for job_id in (running, waiting):
                assert server.wait(job_id, timeout=300)["status"] == "SUCCEEDED"
            assert {known["id"] for known in server.client.get("/jobs").json()["jobs"]} == {running, waiting}
        finally:
            server.stop()
            own_postgres.stop(folder)
            again.wait(20)


@pytest.mark.parametrize("command", [["serve", "--port", "0", "--workers", "0"], ["worker"]], ids=["serve", "worker"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("foo://name:secret@host/x", "foo"),
        ("sqlite:///{folder}", "unable to open database file"),
        ("sqlite:///{folder}/text.sqlite", "file is not a database"),
        ("postgresql://name:secret@127.0.0.1:1/x", "Connection refused"),
    ],
    ids=["unknown", "folder", "no database", "away"],
)
def test_a_store_that_cannot_be_opened_is_one_line(tmp_path: Path, command: list[str], url: str, reason: str) -> None:
    (tmp_path / "text.sqlite").write_text("no database, but a text that is long enough to be one")
    url = url.format(folder=tmp_path)
    code = "import service.jobs.migrating as m; m.START_PATIENCE = 0.1; from service.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, *command, "--data", str(tmp_path / "data")],
        env=os.environ | {"MITOSCAN_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]  # The log is JSON.
    assert ended.returncode == 1
    assert len(lines) == 1
    assert "cannot be opened" in lines[0]
    assert reason in lines[0]
    assert "secret" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_process_that_starts_before_its_store_waits_for_it(tmp_path: Path, models_folder: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    with own_postgres.run_postgres(folder) as environment:
        own_postgres.stop(folder)
        server = Server(tmp_path, models_folder, MITOSCAN_WORKERS="0", **environment)
        starter = threading.Timer(3.0, lambda: started.append(own_postgres.start_again(folder)))
        started: list[subprocess.Popen[bytes]] = []
        starter.start()
        try:
            with server.start(wait_for_worker=False):
                assert server.client.get("/healthz").status_code == 200
                assert started
        finally:
            starter.join()
            own_postgres.stop(folder)
            started[0].wait(20)


def test_postgres_ends_the_transaction_of_a_process_that_is_paused_in_it(tmp_path: Path) -> None:
    with own_postgres.run_postgres(tmp_path) as environment:
        engine = make_engine(Settings(data=tmp_path, database_url=environment["MITOSCAN_DATABASE_URL"]).store_url)
        with reading(engine) as connection:
            limit = connection.execute(sa.text("SHOW idle_in_transaction_session_timeout")).scalar()
        engine.dispose()
    assert limit == f"{ABANDONED_S:g}s"


def test_a_worker_that_is_told_to_stop_gives_its_job_back_and_another_goes_on(
    tmp_path: Path, models_folder: Path
) -> None:
    command = [sys.executable, "-m", "service.cli", "worker", "--data", str(tmp_path / "data")]
    with Server(tmp_path, models_folder, MITOSCAN_WORKERS="0").start(wait_for_worker=False) as server:
        first = start_process(command, env=server.environment, stderr=subprocess.DEVNULL)
        job_id = server.submit(png(make_large_field(7, 8)), stride="1")
        server.wait(job_id, "RUNNING")
        first.send_signal(signal.SIGTERM)
        assert first.wait(stop_times.WORKER_STOP_S + 30) == 0
        given_back = server.client.get(f"/jobs/{job_id}").json()
        assert (given_back["status"], given_back["attempt"]) == ("QUEUED", 1)
        second = start_process(command, env=server.environment, stderr=subprocess.DEVNULL)
        try:
            ended = server.wait(job_id, timeout=120)
            assert (ended["status"], ended["attempt"]) == ("SUCCEEDED", 2)
        finally:
            second.terminate()
            second.wait(60)


SETTINGS = Settings(max_attempts=2)
RUNNING = lifecycle.start(job("a"), worker="dead", now=1.0)
ONCE_MORE = lifecycle.start(lifecycle.requeue(RUNNING), worker="dead", now=2.0)
OF_ANOTHER = lifecycle.start(lifecycle.requeue(RUNNING), worker="alive", now=2.0)


@pytest.mark.parametrize(
    ("now", "left", "state"),
    [
        (RUNNING, RUNNING, JobState.QUEUED),
        (ONCE_MORE, ONCE_MORE, JobState.FAILED),
        (replace(RUNNING, cancel_requested=True), RUNNING, JobState.CANCELLED),
        (OF_ANOTHER, RUNNING, JobState.RUNNING),
        (ONCE_MORE, RUNNING, JobState.RUNNING),
        (lifecycle.finish(RUNNING, now=3.0), RUNNING, JobState.SUCCEEDED),
    ],
)
def test_the_job_of_a_dead_worker_waits_again_or_ends_unless_another_has_it(now, left, state: JobState) -> None:
    found = requeue_or_end(now, left=left, settings=SETTINGS)
    assert found.state is state
    assert (found.worker is None) == (state is not JobState.RUNNING)


def test_stop_times_fit_into_each_other_and_into_those_of_the_containers() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    grace = {name: float(str(services[name]["stop_grace_period"]).removesuffix("s")) for name in ("api", "worker")}
    assert stop_times.GIVE_BACK_S < stop_times.WORKER_STOP_S < grace["worker"]
    assert stop_times.REQUESTS_STOP_S + stop_times.WORKER_STOP_S <= stop_times.SERVE_STOP_S < grace["api"]
