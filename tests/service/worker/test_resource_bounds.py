"""A slide that asks for more memory or time than a job may have fails with that reason, and the worker lives on."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from service.settings import Settings
from service.settings.rules import MIN_WORKER_MEMORY
from service.worker import resource_bounds
from tests.service.fields import make_field, png
from tests.service.server_process import Server

SIDE = 16_000  # px: decoded, twice what the worker may take


def blank_png(side: int) -> bytes:
    """A black square as PNG, made line by line."""
    packer = zlib.compressobj(1)
    line = bytes(1 + 3 * side)
    pixels = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_field_that_needs_too_much_memory_fails_with_that_reason(tmp_path: Path, models_folder: Path) -> None:
    with Server(tmp_path, models_folder, MITOSCAN_WORKER_MEMORY_BYTES=str(MIN_WORKER_MEMORY)).start() as server:
        workers = server.worker_pids
        job = server.wait(server.submit(blank_png(SIDE)))
        assert job["status"] == "FAILED", job
        assert job["problem"]["type"] == "urn:mitoscan:memory-exceeded"
        assert str(MIN_WORKER_MEMORY) in job["problem"]["detail"]
        assert server.client.post("/detect", content=png(make_field(1))).status_code == 200
        assert server.worker_pids == workers


def test_less_than_a_scan_needs_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not enough"):
        Settings(data=tmp_path, worker_memory_bytes=1 << 20)


def test_a_worker_that_holds_most_of_its_bound_has_no_room(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, worker_memory_bytes=1 << 40)
    assert resource_bounds.has_room(settings)
    held = np.zeros(int(resource_bounds.MOST_HELD * MIN_WORKER_MEMORY), np.uint8)
    assert not resource_bounds.has_room(Settings(data=tmp_path, worker_memory_bytes=MIN_WORKER_MEMORY))
    assert not held.any()
