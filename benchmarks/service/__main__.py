"""What the service adds to a scan, and what clients see of it under load.

    python -m benchmarks.service [--model NAME] [--rounds 20] [--seconds 60] [--clients 50]

Prints milliseconds: of a warm POST /detect of a 512 x 512 field beside the scan itself, and of /healthz while a worker
scans and clients upload fields and poll, within the limits that a service has by default. Then waits for every accepted
job, and compares the files of some with those of the command line. Starts a server of its own in a temporary folder.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
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

#: Answers that a client under load must be able to live with.
EXPECTED = {200, 202, 429, 503}
COMPARED = ("detections.geojson", "detections.csv", "map.ome.tiff")
FIELD_SIDE = 96  # px


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
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=output)
    while not (match := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    while httpx.get(f"{match[0]}/readyz").status_code != httpx.codes.OK:
        time.sleep(0.1)
    return process, match[0]


def measure_overhead(address: str, model: str | None, *, rounds: int) -> None:
    """Milliseconds of POST /detect less the scan's own, as run.json says them."""
    query = {"model": model} if model else {}
    added, total = [], []
    with httpx.Client(base_url=address, timeout=300) as client:
        for seed in range(rounds + 3):
            body = field(seed, 512)
            started = time.perf_counter()
            answer = client.post("/detect", content=body, params=query).raise_for_status().json()
            taken = time.perf_counter() - started
            scan = client.get(answer["links"]["run.json"]).json()["timing"]["total"]
            if seed >= 3:  # The first ones load the model and warm the caches.
                total.append(1000 * taken)
                added.append(1000 * (taken - scan))
    print(
        f"POST /detect, 512 x 512, warm: {statistics.median(total):.0f} ms, of which beside the scan "
        f"{statistics.median(added):.0f} ms (median of {rounds}; best {min(added):.0f})"
    )


class Clients:
    """Clients that upload fields and poll their jobs, as fast as the answers come and Retry-After allows."""

    def __init__(self, address: str, model: str | None, *, stop_at: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.jobs: list[tuple[str, int]] = []
        self._address, self._query, self._stop_at = address, {"model": model} if model else {}, stop_at

    def run(self, count: int) -> None:
        """Run them all, each in a thread, until the time is over."""
        threads = [threading.Thread(target=self._upload_and_poll, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _upload_and_poll(self, number: int) -> None:
        with httpx.Client(base_url=self._address, timeout=60) as client:
            for step in range(100_000):
                seed = 100_000 * (number + 1) + step
                body, headers = field(seed, FIELD_SIDE), {"Prefer": "respond-async"}
                answer = self._ask(client, "POST", "/detect", content=body, headers=headers, params=self._query)
                if answer is None:
                    return
                if answer.status_code == httpx.codes.ACCEPTED:
                    job = answer.json()["id"]
                    self.jobs.append((job, seed))
                    for _ in range(5):
                        if self._ask(client, "GET", f"/jobs/{job}") is None:
                            return
                        time.sleep(0.4)

    def _ask(self, client: httpx.Client, method: str, path: str, **options: object) -> httpx.Response | None:
        """The answer, noted; None once the time is over."""
        if time.time() > self._stop_at:
            return None
        answer = client.request(method, path, **options)  # type: ignore[arg-type]
        self.statuses[answer.status_code] += 1
        if answer.status_code in {429, 503}:
            time.sleep(min(float(answer.headers["Retry-After"]), max(0.0, self._stop_at - time.time())))
        return answer


def _run_clients(address: str, model: str | None, count: int, stop_at: float, answers: multiprocessing.Queue) -> None:
    clients = Clients(address, model, stop_at=stop_at)
    clients.run(count)
    answers.put((clients.statuses, clients.jobs))


def measure_load(address: str, model: str | None, *, clients: int, seconds: float) -> list[tuple[str, int]]:
    """Latency of /healthz while a worker scans and clients come; returns the accepted jobs and their fields' seeds."""
    large = Image.fromarray(np.tile(np.asarray(Image.open(io.BytesIO(field(1, 512)))), (8, 8, 1)))
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    with httpx.Client(base_url=address, timeout=60) as client:
        query = {"model": model} if model else {}
        client.post("/detect", content=buffer.getvalue(), headers={"Prefer": "respond-async"}, params=query)
        answers: multiprocessing.Queue = multiprocessing.Queue()
        # In a process of their own, so that their work does not count as the service's delay.
        arguments = (address, model, clients, time.time() + seconds, answers)
        others = multiprocessing.Process(target=_run_clients, args=arguments)
        others.start()
        latencies = []
        stop_at = time.monotonic() + seconds
        while time.monotonic() < stop_at:
            started = time.perf_counter()
            client.get("/healthz").raise_for_status()
            latencies.append(1000 * (time.perf_counter() - started))
            time.sleep(0.02)
        statuses, jobs = answers.get()
        others.join()
    latencies.sort()
    median, p99 = statistics.median(latencies), latencies[int(0.99 * len(latencies))]
    print(f"{clients} clients, {seconds:g} s: answers {dict(sorted(statuses.items()))}, {len(jobs)} jobs accepted")
    print(f"/healthz meanwhile: median {median:.1f} ms, p99 {p99:.1f} ms of {len(latencies)}")
    assert set(statuses) <= EXPECTED, "an answer that is an error"
    return jobs


def wait_for_all(address: str, jobs: list[tuple[str, int]]) -> None:
    """Wait until every accepted job has succeeded."""
    started, waiting = time.monotonic(), [job for job, _ in jobs]
    with httpx.Client(base_url=address, timeout=60) as client:
        while waiting:
            answer = client.get(f"/jobs/{waiting[-1]}")
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                time.sleep(float(answer.headers["Retry-After"]))
                continue
            state = answer.raise_for_status().json()["status"]
            assert state in {"QUEUED", "RUNNING", "SUCCEEDED"}, state
            if state == "SUCCEEDED":
                waiting.pop()
            else:
                time.sleep(0.5)
    print(f"all {len(jobs)} have succeeded, {time.monotonic() - started:.0f} s after the last upload")


def compare_with_command_line(address: str, jobs: list[tuple[str, int]], model: str | None, folder: Path) -> None:
    """Scan the fields of some jobs by `mitoscan scan`, and compare the files byte by byte."""
    chosen = jobs[:: max(1, len(jobs) // 10)][:10]
    fields = folder / "fields"
    fields.mkdir()
    for job, seed in chosen:
        (fields / f"{job}.png").write_bytes(field(seed, FIELD_SIDE))
    command = [sys.executable, "-m", "service.cli", "scan", str(fields), "-o", str(folder / "scanned")]
    subprocess.run([*command, "--model", model] if model else command, check=True, capture_output=True)
    with httpx.Client(base_url=address, timeout=60) as client:
        for job, _ in chosen:
            for name in COMPARED:
                served = client.get(f"/jobs/{job}/files/{name}").raise_for_status().content
                assert served == (folder / "scanned" / job / name).read_bytes(), f"{job}: {name} differs"
    print(f"{', '.join(COMPARED)} of {len(chosen)} of them are those of the command line, byte for byte")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=20, help="of the warm POST /detect")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, address = start_server(Path(folder))
        try:
            measure_overhead(address, options.model, rounds=options.rounds)
            jobs = measure_load(address, options.model, clients=options.clients, seconds=options.seconds)
            wait_for_all(address, jobs)
            compare_with_command_line(address, jobs, options.model, Path(folder))
            memory = Path(f"/proc/{process.pid}/status").read_text()
            print("memory of the API process:", re.search(r"VmHWM:\s+(\d+) kB", memory)[1], "kB at most")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
