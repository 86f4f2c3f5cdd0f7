"""A real server on a real port, with a tiny model: real processes, real files, nothing faked."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx

PR_SET_PDEATHSIG = 1  # linux/prctl.h
START_TIMEOUT = 180.0  # seconds; two slow cores start an interpreter with torch in about five
#: Workers speak often and are taken for dead soon, so that tests need not wait.
QUICK = {"MITOSCAN_DEAD_AFTER_S": "3", "MITOSCAN_WORKER_NICE": "0"}
#: A line of the log about a request that had its answer.
ANSWERED_WELL = re.compile(r'"method": "GET".*"status": [23]\d\d')


def start_process(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process that ends with this one, however this one ends: an interrupted run of tests leaves no server behind."""
    end_with_parent = partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM)
    return subprocess.Popen(command, preexec_fn=end_with_parent, **options)


class Server:
    """`mitoscan serve` as a process of its own."""

    def __init__(self, folder: Path, models: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "MITOSCAN_MODELS": str(models),
            "MITOSCAN_DEFAULT_MODEL": "tiny",
            "OMP_NUM_THREADS": "1",
            **QUICK,
            **environment,
        }
        self._log = folder / "server.log"
        self.process: subprocess.Popen[bytes]
        self.client: httpx.Client

    def start(self, *, by_command: bool = False, wait_for_worker: bool = True) -> Server:
        """Start it as `mitoscan serve` does in the end, or, which takes a while longer, by that command."""
        data, options = str(self.folder / "data"), ["--host", "127.0.0.1", "--port", "0"]
        command = [sys.executable, "-m", "service"]
        if by_command:
            command = [sys.executable, "-m", "service.cli", "serve", *options, "--data", data]
        environment = self.environment | {"MITOSCAN_DATA": data, "MITOSCAN_PORT": "0"}
        known = len(self.log)
        with self._log.open("ab") as log:
            self.process = start_process(command, env=environment, stderr=log, stdout=log)
        match = until(lambda: re.search(r"http://[\d.]+:(\d+)", self.log[known:]), self)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{match[1]}", timeout=60)
        if wait_for_worker:
            until(lambda: self.client.get("/readyz").status_code == 200, self)
        return self

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(20)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def end_of_log(self) -> str:
        """What the server said last, less what it answered well: a test that waits asks hundreds of times."""
        said = [line for line in self.log.splitlines() if not ANSWERED_WELL.search(line)]
        return "\n".join(said[-60:])

    @property
    def child_pids(self) -> list[int]:
        """Processes that this server has started: workers, and those that decode tiles."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in tasks for pid in children.read_text().split()]

    @property
    def worker_pids(self) -> list[int]:
        """Processes of the workers that this server has started."""
        return [pid for pid in self.child_pids if b"--worker-id" in _command_of(pid)]

    def kill_workers(self) -> None:
        self.kill(self.worker_pids)

    @staticmethod
    def kill(pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def submit(self, body: bytes, **query: str) -> str:
        """Id of a new job that is not waited for."""
        answer = self.client.post("/detect", content=body, params=query, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def wait(self, job_id: str, *states: str, timeout: float = 60) -> dict:
        """The job, once it is in one of `states` (by default a final one)."""
        wanted = states or ("SUCCEEDED", "FAILED", "CANCELLED")
        try:
            return until(lambda: self._in_state(job_id, wanted), self, timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"{self.client.get(f'/jobs/{job_id}').json()} is not {wanted}") from error

    def _in_state(self, job_id: str, wanted: tuple[str, ...]) -> dict | None:
        job = self.client.get(f"/jobs/{job_id}").raise_for_status().json()
        return job if job["status"] in wanted else None

    def files(self, job_id: str) -> dict[str, str]:
        """SHA-256 of the reproducible files of a result."""
        names = ("detections.geojson", "detections.csv", "map.ome.tiff", "map.png")
        got = {name: self.client.get(f"/jobs/{job_id}/files/{name}").raise_for_status().content for name in names}
        return {name: hashlib.sha256(content).hexdigest() for name, content in got.items()}


def _command_of(pid: int) -> bytes:
    """The command line of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def until(condition, server: Server, *, timeout: float = START_TIMEOUT):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        assert server.process.poll() is None, server.end_of_log
        time.sleep(0.05)
    raise AssertionError(f"nothing within {timeout} s\n{server.end_of_log}")
