"""Soak: jobs without a pause for an hour, and what the service's processes hold meanwhile; all of it should stay flat.

    python -m benchmarks.service.soak [--minutes 60] [--rows 7] [--postgres]

Four clients scan new fields with a tiny model, one after the other; one in ten is damaged, one in ten is known, one in
ten is cancelled. Prints memory, open files and threads of the API and of its worker, the disk that the data folder
takes, and the answers so far, over time.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx

from tests.service.fields import make_field, make_tiny_model, png
from tests.service.own_postgres import run_postgres
from tests.service.server_process import Server

CLIENTS = 4
#: Retention removes what has ended this long ago, so that the disk stays flat as well; files are given an hour more.
OPTIONS = {"MITOSCAN_KEEP_DAYS": "0.003", "MITOSCAN_CLEANING_SCHEDULE": "* * * * *", "MITOSCAN_MIN_FREE_BYTES": "1"}
MIB = 2**20


def main() -> None:
    """Run the soak and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rows", type=int, default=7, help="of the table")
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "postgres").mkdir()
        make_tiny_model(folder / "models")
        with (
            run_postgres(folder / "postgres", wanted=options.postgres) as environment,
            Server(folder, folder / "models", **OPTIONS, **environment).start() as server,
        ):
            soak(server, seconds=options.minutes * 60, rows=options.rows)


def soak(server: Server, *, seconds: float, rows: int) -> None:
    """Keep the server busy that long, and print as many rows of what it holds."""
    numbers, ended, is_over = count(), Counter[str](), threading.Event()
    began = time.monotonic()
    print("| min | jobs | API MiB | files | threads | worker MiB | files | threads | disk MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask_until, is_over, server, numbers, ended) for _ in range(CLIENTS)]
        try:
            for row in range(1, rows + 1):
                time.sleep(max(0.0, began + seconds * row / rows - time.monotonic()))
                print(describe(server, minutes=(time.monotonic() - began) / 60, jobs=sum(ended.values())), flush=True)
        finally:
            is_over.set()
        for client in clients:
            client.result()
    print(", ".join(f"{status}: {times}" for status, times in sorted(ended.items())))


def ask_until(is_over: threading.Event, server: Server, numbers: count[int], ended: Counter[str]) -> None:
    """Ask for one scan after the other, and count how they end."""
    with httpx.Client(base_url=server.client.base_url, timeout=300) as client:
        while not is_over.is_set():
            number = next(numbers)
            kind = number % 10
            slide = png(make_field(0 if kind == 1 else number))
            answer = client.post(
                "/detect",
                content=slide[:-2000] if kind == 2 else slide,
                headers={"Prefer": "respond-async"} if kind == 3 else {},
            )
            if kind == 3 and answer.status_code == 202:
                with suppress(httpx.HTTPError):
                    client.delete(answer.headers["location"])
            problem = answer.json()["type"] if answer.is_error else ""
            ended[f"{answer.status_code} {problem}".rstrip()] += 1


def describe(server: Server, *, minutes: float, jobs: int) -> str:
    """A row of the table."""
    workers = [pid for pid in server.worker_pids if "worker" in Path(f"/proc/{pid}/cmdline").read_text()]
    cells = [f"{minutes:.0f}", str(jobs)]
    for pid in (server.process.pid, *workers[:1]):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        cells += [f"{int(status['VmRSS'].split()[0]) / 1024:.0f}", str(files), status["Threads"].strip()]
    size = 0
    for path in (server.folder / "data").rglob("*"):
        with suppress(FileNotFoundError):  # Removed meanwhile.
            size += path.stat().st_size
    return "| " + " | ".join([*cells, f"{size / MIB:.0f}"]) + " |"


if __name__ == "__main__":
    main()
