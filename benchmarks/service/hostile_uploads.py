"""What other clients notice while one misuses uploads: /healthz every 10 ms, memory of the API, files on its disk.

    python -m benchmarks.service.hostile_uploads

idle: nothing, to compare with. half-open: 20 PATCH requests that stop in the middle. large-post: 1.5 GB of body in the
request that begins an upload. partial: uploads to be concatenated, again and again. no-key: 50 MB by every way of
uploading, without a key.
Starts a server of its own, without workers, in a temporary folder.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks.service.uploads import peak_mib, start_server

KEY = "a key"
SECONDS = 5.0
TUS = {"Tus-Resumable": "1.0.0", "X-API-Key": KEY}
APPEND = TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
PIECE = bytes(1 << 16)


@dataclass(frozen=True)
class Noticed:
    """What was measured while an attack went on."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    peak_mib: float
    #: Files that the attack has left among the uploads.
    left: int


def idle(_url: httpx.URL) -> None:
    """Nothing."""
    time.sleep(SECONDS)


def half_open(url: httpx.URL) -> None:
    """Requests that stop in the middle."""
    lines = []
    for _ in range(20):
        answer = httpx.post(url.join("/uploads/tus"), headers=TUS | {"Upload-Length": "10000000"})
        fields = APPEND | {"Host": url.host, "Content-Length": "10000000"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        lines.append(socket.create_connection((url.host, url.port)))
        lines[-1].sendall(f"PATCH {answer.headers['location']} HTTP/1.1\r\n{head}\r\n".encode() + PIECE)
    time.sleep(SECONDS)


def large_post(url: httpx.URL) -> None:
    """A body where none belongs."""
    send_body(url, "POST", "/uploads/tus", headers=TUS | {"Upload-Length": "1500000000"}, size=1_500_000_000)


def partial(url: httpx.URL) -> None:
    """Parts that are to be joined, many times over."""
    with httpx.Client(base_url=url, headers=TUS) as client:
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            part = client.post("/uploads/tus", headers={"Upload-Length": "12000000", "Upload-Concat": "partial"})
            joined = client.post("/uploads/tus", headers={"Upload-Concat": "final;" + " /uploads/tus/a" * 250})
            assert {part.status_code, joined.status_code} == {400}


def no_key(url: httpx.URL) -> None:
    """Bodies of somebody who is nobody."""
    ways = {"POST": "/uploads", "PUT": "/uploads/a.tif", "PATCH": "/uploads/tus/" + "0" * 32}
    for method, path in ways.items():
        headers = {name: value for name, value in APPEND.items() if name != "X-API-Key"}
        send_body(url, method, path, headers=headers, size=50_000_000)


ATTACKS: dict[str, Callable[[httpx.URL], None]] = {
    "idle": idle,
    "half-open": half_open,
    "large-post": large_post,
    "partial": partial,
    "no-key": no_key,
}


def send_body(url: httpx.URL, method: str, path: str, *, headers: dict[str, str], size: int) -> None:
    """Send a body to its end, whatever the service answers meanwhile; it has to refuse."""
    line = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
    line.request(method, path, headers=headers | {"Content-Length": str(size)})
    with suppress(ConnectionError):
        for _ in range(size // len(PIECE)):
            line.send(PIECE)
        assert line.getresponse().status in {400, 401}
    line.close()


def watch(address: str, name: str, *, pid: int, uploads: Path) -> Noticed:
    """Ask for /healthz until the attack, in a process of its own, is over."""
    before = set(files_in(uploads))
    attack = subprocess.Popen([sys.executable, "-m", "benchmarks.service.hostile_uploads", name, address])
    taken = []
    with httpx.Client(base_url=address, timeout=60) as client:
        while attack.poll() is None:
            began = time.perf_counter()
            client.get("/healthz").raise_for_status()
            taken.append(1000 * (time.perf_counter() - began))
            time.sleep(0.01)
    if attack.returncode:
        raise RuntimeError(f"the attack {name} went otherwise than it should")
    p50, p99 = np.percentile(taken, [50, 99])
    left = len(set(files_in(uploads)) - before)
    return Noticed(float(p50), float(p99), max(taken), peak_mib(pid), left)


def files_in(folder: Path) -> Iterator[Path]:
    """All files in a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure, or be one of the attacks."""
    if len(sys.argv) == 3:
        ATTACKS[sys.argv[1]](httpx.URL(sys.argv[2]))
        return
    os.environ["MITOSCAN_API_KEYS"] = json.dumps({"ann": f"submit:{hashlib.sha256(KEY.encode()).hexdigest()}"})
    with tempfile.TemporaryDirectory() as name:
        process, address = start_server(Path(name))
        try:
            for attack in ATTACKS:
                noticed = watch(address, attack, pid=process.pid, uploads=Path(name) / "data" / "uploads")
                times = f"{noticed.p50_ms:.1f} ms, p99 {noticed.p99_ms:.1f}, worst {noticed.worst_ms:.0f}"
                left = f"API at most {noticed.peak_mib:.0f} MiB; {noticed.left} files left"
                print(f"{attack}: /healthz {times}; {left}", flush=True)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
