"""What the service adds to a scan, and what clients see of it under load.

    python -m benchmarks.service [--model NAME] [--seconds 60] [--clients 50]

Prints milliseconds: of a warm POST /detect of a 512 x 512 field beside the scan itself, and of /healthz while clients
upload fields and poll. Starts a server of its own in a temporary folder.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
from PIL import Image


def field(seed: int, side: int) -> bytes:
    """A field of coloured noise as PNG: no two seeds have the same result."""
    pixels = np.random.default_rng(seed).integers(90, 220, (side, side, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server, once a worker is ready, and its address."""
    log = folder / "log"
    environment = os.environ | {"MITOSCAN_DATA": str(folder / "data"), "MITOSCAN_PORT": "0"}
    environment |= {"MITOSCAN_MAX_CLIENT_JOBS": "100000", "MITOSCAN_MAX_OPEN_JOBS": "100000"}
    environment |= {"MITOSCAN_REQUESTS_PER_MINUTE": "10000000"}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "service.server"], env=environment, stderr=output)
    while not (match := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    while httpx.get(f"{match[0]}/readyz").status_code != httpx.codes.OK:
        time.sleep(0.1)
    return process, match[0]


def measure_overhead(address: str, model: str | None, rounds: int = 20) -> None:
    """Seconds of POST /detect less the scan's own, as run.json says them."""
    query = {"model": model} if model else {}
    added, total = [], []
    with httpx.Client(base_url=address, timeout=60) as client:
        for seed in range(rounds + 3):
            body = field(seed, 512)
            started = time.perf_counter()
            answer = client.post("/detect", content=body, params=query).raise_for_status().json()
            taken = time.perf_counter() - started
            scan = client.get(answer["links"]["run.json"]).json()["timing"]["total"]
            if seed >= 3:  # The first ones load the model and warm the caches.
                total.append(1000 * taken)
                added.append(1000 * (taken - scan))
    print(f"POST /detect, 512 x 512, warm: {statistics.median(total):.0f} ms, "
          f"of which beside the scan {statistics.median(added):.0f} ms (median of {rounds})")  # fmt: skip


def measure_load(address: str, clients: int, seconds: float) -> None:
    """Latency of /healthz while clients upload fields and poll, and what became of every job."""
    stop_at = time.monotonic() + seconds
    statuses: Counter[int] = Counter()
    jobs: list[str] = []

    def upload_and_poll(number: int) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            for step in range(1_000_000):
                if time.monotonic() > stop_at:
                    return
                body = field(10_000 * number + step, 96)
                answer = client.post("/detect", content=body, headers={"Prefer": "respond-async"})
                statuses[answer.status_code] += 1
                if answer.status_code == httpx.codes.ACCEPTED:
                    jobs.append(answer.json()["id"])
                    for _ in range(5):
                        statuses[client.get(f"/jobs/{jobs[-1]}").status_code] += 1
                        time.sleep(0.4)

    threads = [threading.Thread(target=upload_and_poll, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    latencies = []
    with httpx.Client(base_url=address, timeout=60) as client:
        while time.monotonic() < stop_at:
            started = time.perf_counter()
            statuses[client.get("/healthz").status_code] += 1
            latencies.append(1000 * (time.perf_counter() - started))
            time.sleep(0.02)
        for thread in threads:
            thread.join()
        latencies.sort()
        median, p99 = statistics.median(latencies), latencies[int(0.99 * len(latencies))]
        print(f"{clients} clients, {seconds:g} s: answers {dict(statuses)}, {len(jobs)} jobs")
        print(f"/healthz meanwhile: median {median:.1f} ms, p99 {p99:.1f} ms")
        started = time.monotonic()
        waiting = set(jobs)
        while waiting:
            job_id = next(iter(waiting))
            state = client.get(f"/jobs/{job_id}").json()["status"]
            assert state in {"QUEUED", "RUNNING", "SUCCEEDED"}, state
            if state == "SUCCEEDED":
                waiting.remove(job_id)
            else:
                time.sleep(0.2)
        print(f"every job has succeeded, {time.monotonic() - started:.0f} s after the last upload")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, address = start_server(Path(folder))
        try:
            measure_overhead(address, options.model)
            measure_load(address, options.clients, options.seconds)
            memory = Path(f"/proc/{process.pid}/status").read_text()
            print("memory of the API process:", re.search(r"VmHWM:\s+(\d+) kB", memory)[1], "kB at most")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
