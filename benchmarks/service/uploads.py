"""Memory of the API process while a slide of gigabytes is uploaded: by tus, broken off three times, and by one raw PUT.

    python -m benchmarks.service.uploads [--gigabytes 3]

Prints the largest resident memory that the process had (VmHWM), seconds, and whether what lies on the server is what
was sent. Starts a server of its own, without workers, in a temporary folder, which needs three times the slide's size.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

PIECE = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
BREAKS = (0.2, 0.5, 0.9)


class LineBrokenError(Exception):
    """The line is cut here."""


def head(seed: int) -> bytes:
    """The first bytes of a TIFF of 50,000 x 20,000 pixels: what the service looks at before it keeps a slide."""
    entries = [(256, 4, 1, 50_000), (257, 4, 1, 20_000), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + seed.to_bytes(8, "little")).ljust(PIECE, b"\0")


def pieces(size: int, seed: int, start: int = 0) -> Iterator[bytes]:
    """The slide from a byte on."""
    first = head(seed)
    filler = hashlib.sha256(seed.to_bytes(8, "little")).digest() * (PIECE // 32)
    at = start
    while at < size:
        source = first if at < PIECE else filler
        piece = source[at % PIECE : at % PIECE + min(PIECE - at % PIECE, size - at)]
        yield piece
        at += len(piece)


def start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server without workers, and its address."""
    log = folder / "log"
    environment = os.environ | {"MITOSCAN_DATA": str(folder / "data"), "MITOSCAN_PORT": "0", "MITOSCAN_WORKERS": "0"}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=output)
    while not (match := re.search(r"http://\S+", log.read_text())):
        if process.poll() is not None:
            raise SystemExit(f"the server has ended: {log.read_text()}")
        time.sleep(0.1)
    return process, match[0]


def send_by_tus(client: httpx.Client, size: int) -> str:
    """Upload with three breaks; returns the SHA-256 of what was sent."""
    answer = client.post("/uploads/tus/", headers=TUS | {"Upload-Length": str(size)}).raise_for_status()
    place = httpx.URL(answer.headers["location"]).path
    for share in (*BREAKS, 1.0):
        at = settled_offset(client, place)
        print(f"  tus: goes on at {at:,} bytes", flush=True)
        headers = TUS | {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
        headers["Content-Length"] = str(size - at)
        try:
            sent = until(pieces(size, 1, at), int(size * share) - at)
            client.patch(place, content=sent, headers=headers).raise_for_status()
        except LineBrokenError:
            continue
    assert int(client.head(place, headers=TUS).headers["upload-offset"]) == size
    return digest(size, 1)


def settled_offset(client: httpx.Client, place: str) -> int:
    """How much is there, once the server has heard that the line is broken."""
    known = -1
    while True:
        at = int(client.head(place, headers=TUS).raise_for_status().headers["upload-offset"])
        if at == known:
            return at
        known = at
        time.sleep(2)


def until(source: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The first `count` bytes or a little more; then the line breaks, unless that was all."""
    for piece in source:
        if count <= 0:
            raise LineBrokenError
        count -= len(piece)
        yield piece


def send_by_put(client: httpx.Client, size: int) -> str:
    """Upload in one request; returns the SHA-256 of what was sent."""
    client.put("/uploads/slide.tif", content=pieces(size, 2), headers={"Content-Length": str(size)}).raise_for_status()
    return digest(size, 2)


def digest(size: int, seed: int) -> str:
    """SHA-256 of the slide."""
    sha256 = hashlib.sha256()
    for piece in pieces(size, seed):
        sha256.update(piece)
    return sha256.hexdigest()


def peak_mib(pid: int) -> float:
    """Largest resident memory that a process has had."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) / 1024


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    size = int(parser.parse_args().gigabytes * 1e9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process, address = start_server(folder)
        try:
            with httpx.Client(base_url=address, timeout=600) as client:
                print(f"at the start: {peak_mib(process.pid):.0f} MiB")
                for way, send in (("tus, broken off three times", send_by_tus), ("raw PUT", send_by_put)):
                    started = time.perf_counter()
                    sha256 = send(client, size)
                    taken = time.perf_counter() - started
                    stored = folder / "data" / "uploads" / sha256 / "slide.tif"
                    is_whole = stored.stat().st_size == size
                    print(
                        f"{way}: {size:,} bytes in {taken:.0f} s, stored under its SHA-256: {is_whole}; "
                        f"at most {peak_mib(process.pid):.0f} MiB so far",
                        flush=True,
                    )
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
