"""Hostile files, sent to a server: those of hostile_files.py, and sound ones that a fuzzer spoils.

    python -m tests.service.hostile [--rounds 2000] [--seed 0]

Sends spoilt files to a server of its own; none may be answered with 500, kill a worker, or make the service grow.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.service.fields import make_field, make_tiny_model, png
from tests.service.hostile_files import File, picture, tiff
from tests.service.server_process import Server

#: Memory that no file may make a process of the service use.
API_MIB, WORKER_MIB = 300, 2048
WAIT = 600.0  # seconds for all jobs of a corpus


def sound_files() -> dict[str, bytes]:
    """What the fuzzer spoils."""
    return {
        "png": png(make_field(92, 64, 64)),
        "jpeg": picture("JPEG"),
        "webp": picture("WEBP"),
        "bmp": picture("BMP"),
        "tiff": tiff(),
        "tiled": tiff(tile=(32, 32), compression="jpeg"),
        "deflated": tiff(tile=(32, 32), compression="deflate", bigtiff=True),
    }


def spoilt(rounds: int, seed: int) -> Iterator[File]:
    """Sound files with a few bytes changed, cut short, grown or joined; the same ones for the same seed."""
    chance, sound = random.Random(seed), sound_files()
    ways: list[Callable[[bytearray], None]] = [
        lambda content: None,
        lambda content: content.__delitem__(slice(chance.randrange(20, len(content)), None)),
        lambda content: content.extend(chance.randbytes(chance.randrange(1, 500))),
        lambda content: content.extend(chance.choice(list(sound.values()))),
    ]
    for number in range(rounds):
        name = chance.choice(sorted(sound))
        content = bytearray(sound[name])
        for _ in range(2 ** chance.randrange(6)):
            # The first bytes and the last hold headers and directories: that is where it hurts.
            early, late = chance.randrange(8, 200), -chance.randrange(1, 200)
            place = chance.choice([early, late, chance.randrange(len(content))])
            content[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        chance.choice(ways)(content)
        yield f"{name} {seed}.{number}", bytes(content)


def send_all(server: Server, files: list[File]) -> None:
    """Send every file, wait for the jobs that come of them, and see that the service bore it."""
    workers, jobs = server.worker_pids, {}
    for name, body in files:
        answer = server.client.post("/detect", content=body, headers={"Prefer": "respond-async"})
        while answer.status_code == 429:  # As many jobs are open as one client may have.
            time.sleep(1)
            answer = server.client.post("/detect", content=body, headers={"Prefer": "respond-async"})
        assert answer.status_code < 500, f"{name}: {answer.text}"
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", name
        else:
            jobs[answer.json()["id"]] = name
    for job_id, name in jobs.items():
        job = server.wait(job_id, timeout=WAIT)
        if job["status"] == "FAILED":
            assert job["problem"]["status"] < 500, f"{name}: {job['problem']}"
        else:
            assert job["status"] == "SUCCEEDED", name
    assert server.worker_pids == workers, "a worker has died of one of them"
    assert peak_mib(server.process.pid) < API_MIB
    assert all(peak_mib(pid) < WORKER_MIB for pid in workers)


def peak_mib(pid: int) -> float:
    """Most memory that a process has used."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Fuzz a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").mkdir()
        make_tiny_model(folder / "models")
        limits = {"MITOSCAN_MAX_CLIENT_JOBS": "1000000", "MITOSCAN_MAX_OPEN_JOBS": "1000000"}
        limits["MITOSCAN_REQUESTS_PER_MINUTE"] = "10000000"
        with Server(folder, folder / "models", **limits).start() as server:
            send_all(server, list(spoilt(options.rounds, options.seed)))
            used = [f"{peak_mib(pid):.0f}" for pid in (server.process.pid, *server.worker_pids)]
    print(
        f"{options.rounds} spoilt files: no 500, no dead worker; MiB used at most by API and worker: {', '.join(used)}"
    )


if __name__ == "__main__":
    main()
