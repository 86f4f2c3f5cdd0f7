"""Kill workers, the API, or both at random moments while jobs are asked for and run; no job may be lost or changed.

    python -m tests.service.kills [--jobs 20] [--kills 12] [--seed 0] [--postgres]

Compares every file of every job with those of a server that was left alone.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.service.fields import make_large_field, make_tiny_model, png
from tests.service.own_postgres import run_postgres
from tests.service.server_process import Server

QUERY = {"stride": "1", "threshold": "0.3"}
#: A job that is killed again and again would fail, as it should: here it must not.
PATIENT = {"MITOSCAN_MAX_ATTEMPTS": "1000"}
WAIT = 600.0  # seconds
PAUSE = (0.5, 4.0)  # seconds between two kills


def fields(count: int) -> list[bytes]:
    """Slides whose scan takes a second or two."""
    return [png(make_large_field(300 + number, 4)) for number in range(count)]


def scan_undisturbed(folder: Path, models: Path, slides: list[bytes]) -> list[dict[str, str]]:
    """Hashes of the files of each slide's result."""
    with Server(folder, models).start() as server:
        jobs = [server.submit(slide, **QUERY) for slide in slides]
        for job in jobs:
            assert server.wait(job, timeout=WAIT)["status"] == "SUCCEEDED"
        return [server.files(job) for job in jobs]


class Killer:
    """Kills at random moments, and starts again what has nobody to start it."""

    def __init__(self, server: Server, *, kills: int, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self._server, self._kills, self._chance = server, kills, random.Random(seed)
        self._is_up = threading.Event()
        self._is_up.set()

    def run(self) -> None:
        """Kill them all, one after the other."""
        for _ in range(self._kills):
            time.sleep(self._chance.uniform(*PAUSE))
            victim = self._chance.choice(["worker", "api", "both"])
            self.killed[victim] += 1
            workers = self._server.worker_pids
            if victim != "worker":
                self._is_up.clear()
                self._server.process.kill()
            if victim != "api":
                self._server.kill(workers)
            if victim != "worker":
                self._server.process.wait()
                self._server.client.close()
                self._server.start(wait_for_worker=False)
                self._is_up.set()

    def submit(self, slide: bytes, key: str) -> str:
        """Id of the job, asked for as often as it takes: with the same key it is the same job."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": key}
        while True:
            self._is_up.wait(WAIT)
            try:
                answer = self._server.client.post("/detect", content=slide, params=QUERY, headers=headers)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            return str(answer.raise_for_status().json()["id"])


def count_jobs(server: Server) -> int:
    """Jobs in the store, which another server may have filled before."""
    return len(server.client.get("/jobs", params={"limit": 1000}).json()["jobs"])


def disturb(server: Server, slides: list[bytes], *, kills: int, seed: int) -> tuple[list[dict[str, str]], Counter[str]]:
    """Hashes of the files of each slide's result, and how often who was killed."""
    killer, before = Killer(server, kills=kills, seed=seed), count_jobs(server)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: [killer.submit(slide, f"slide-{number}") for number, slide in enumerate(slides)])
        killer.run()  # Here, because a server ends with the thread that started it.
        jobs = asked.result()
    for job in jobs:
        assert server.wait(job, timeout=WAIT)["status"] == "SUCCEEDED"
    assert len(set(jobs)) == len(slides)
    assert count_jobs(server) - before == len(slides), "a job was run twice"
    return [server.files(job) for job in jobs], killer.killed


def main() -> None:
    """Disturb a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, slides = Path(name), fields(options.jobs)
        for part in ("models", "alone", "disturbed", "postgres"):
            (folder / part).mkdir()
        make_tiny_model(folder / "models")
        expected = scan_undisturbed(folder / "alone", folder / "models", slides)
        with (
            run_postgres(folder / "postgres", wanted=options.postgres) as store,
            Server(folder / "disturbed", folder / "models", **PATIENT, **store).start() as server,
        ):
            found, killed = disturb(server, slides, kills=options.kills, seed=options.seed)
    assert found == expected, "a file has changed"
    store_kind = "Postgres" if options.postgres else "SQLite"
    print(f"{options.jobs} jobs on {store_kind}, {dict(killed)} killed:")
    print("every job has succeeded once, with the files it has undisturbed")


if __name__ == "__main__":
    main()
