"""Hostile files: no 500, no crash of the API, a worker that lives, nothing written elsewhere."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from collections.abc import Iterator

import httpx
import pytest
import tifffile
from PIL import Image

from tests.service.conftest import Server, make_field, png

WAIT = 300.0  # seconds for all of them


def tiff(**options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, make_field(90, 64, 64), photometric="rgb", **options)
    return buffer.getvalue()


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(make_field(91, 64, 64)).save(buffer, kind)
    return buffer.getvalue()


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def directory(*entries: bytes, following: int = 0) -> bytes:
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + struct.pack("<I", following)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def hostile_tiffs() -> Iterator[tuple[str, bytes]]:
    size = [entry(256, 4, 1, 64), entry(257, 4, 1, 64)]
    rgb = [entry(258, 3, 1, 8), entry(259, 3, 1, 1), entry(262, 3, 1, 2), entry(277, 3, 1, 3)]
    yield "TIFF whose directories go in a circle", directory(*size, *rgb, following=8)
    yield "TIFF whose next directory is far away", directory(*size, *rgb, following=2**32 - 1)
    yield "TIFF with a tile of 2^31", directory(*size, *rgb, entry(322, 4, 1, 2**31 - 1), entry(323, 4, 1, 2**31 - 1))
    yield "TIFF with tiles of nothing", directory(*size, *rgb, entry(322, 4, 1, 0), entry(323, 4, 1, 0))
    yield "TIFF of 2^32 x 2^32", directory(entry(256, 4, 1, 2**32 - 1), entry(257, 4, 1, 2**32 - 1), *rgb)
    yield "TIFF of 0 x 0", directory(entry(256, 4, 1, 0), entry(257, 4, 1, 0), *rgb)
    yield "TIFF with four thousand million strips", directory(*size, *rgb, entry(273, 4, 2**32 - 1, 8))
    yield "TIFF with a description of 4 GB", directory(*size, *rgb, entry(270, 2, 2**32 - 1, 8))
    yield "TIFF with sub-directories that are itself", directory(*size, *rgb, entry(330, 4, 1, 8))
    yield "TIFF with 65535 entries", b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(200)
    yield "BigTIFF with 2^64 entries", b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**64 - 1)
    for kind in (0, 13, 16, 255):
        yield f"TIFF with entries of kind {kind}", directory(entry(256, kind, 1, 64), entry(257, kind, 1, 64), *rgb)
    for compression in (2, 5, 6, 7, 8, 34712, 50000, 65535):
        strips = [entry(273, 4, 1, 8), entry(278, 4, 1, 64), entry(279, 4, 1, 200)]
        yield (
            f"TIFF with rubbish as compression {compression}",
            directory(
                *size,
                entry(258, 3, 1, 8),
                entry(259, 3, 1, compression),
                entry(262, 3, 1, 2),
                entry(277, 3, 1, 3),
                *strips,
            ),
        )


def hostile_pictures() -> Iterator[tuple[str, bytes]]:
    head = b"\x89PNG\r\n\x1a\n"
    for width, height in ((50_000, 50_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 0), (2**32 - 1, 2), (20_000, 19_000)):
        yield f"PNG of {width} x {height}", head + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    bomb = zlib.compress(bytes(50_000_000), 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    yield "PNG with a bomb of text", head + header + chunk(b"zTXt", b"a\0\0" + bomb) + chunk(b"IEND", b"")
    yield "PNG with a bomb of pixels", head + header + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
    yield "PNG with a bomb as its profile", head + header + chunk(b"iCCP", b"a\0\0" + bomb) + chunk(b"IEND", b"")
    yield "PNG of colour type 7", head + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 7, 0, 0, 0))
    yield "JPEG of 65535 x 65535", b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(50)
    yield "JPEG of nothing but fill bytes", b"\xff\xd8" + b"\xff" * 100_000
    yield "JPEG with a segment of length 0", b"\xff\xd8\xff\xe0\0\0" + bytes(100)
    yield "DICOM of nothing", bytes(128) + b"DICM"
    yield "DICOM of rubbish", bytes(128) + b"DICM" + b"\xff" * 500
    yield "WebP of rubbish", b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 50
    yield "BMP of 2^31 x 2^31", b"BM" + bytes(16) + struct.pack("<ii", 2**31 - 1, -(2**31)) + bytes(40)
    yield "BMP that is upside down and empty", b"BM" + bytes(60)


def strangers() -> Iterator[tuple[str, bytes]]:
    for name, start in {
        "zip": b"PK\x03\x04",
        "gzip": b"\x1f\x8b\x08",
        "ELF": b"\x7fELF",
        "PDF": b"%PDF-1.7",
        "HTML": b"<!doctype html>",
        "SVG": b"<?xml version='1.0'?><svg/>",
        "XML bomb": b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        "shell": b"#!/bin/sh\nrm -rf /",
        "pickle": b"\x80\x04\x95",
        "SQLite": b"SQLite format 3\0",
        "HDF5": b"\x89HDF\r\n\x1a\n",
        "NUL": b"\0",
        "text": b"a",
        "UTF-16": b"\xff\xfea\0",
        "MRXS index": b"[GENERAL]\nSLIDE_VERSION=1",
        "VMS": b"[Virtual Microscope Specimen]",
    }.items():
        yield name, start + bytes(100)


def mutated() -> Iterator[tuple[str, bytes]]:
    """Sound files with a few bytes changed, cut short, or grown, the same ones every time."""
    chance = random.Random(5)
    sound = {
        "png": png(make_field(92, 64, 64)),
        "jpeg": picture("JPEG"),
        "webp": picture("WEBP"),
        "bmp": picture("BMP"),
        "tiff": tiff(),
        "tiled": tiff(tile=(32, 32), compression="jpeg"),
        "deflated": tiff(tile=(32, 32), compression="deflate", bigtiff=True),
    }
    for name, content in sound.items():
        for number in range(22):
            changed = bytearray(content)
            for _ in range(2 ** chance.randrange(6)):
                # The first bytes and the last hold headers and directories: that is where it hurts.
                early, late = chance.randrange(8, 200), -chance.randrange(1, 200)
                place = chance.choice([early, late, chance.randrange(len(changed))])
                changed[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
            if number % 4 == 3:
                del changed[chance.randrange(20, len(changed)) :]
            yield f"{name} {number}", bytes(changed)


CORPUS = [*hostile_tiffs(), *hostile_pictures(), *strangers(), *mutated()]


@pytest.mark.slow
def test_the_service_outlives_them_all(server: Server) -> None:
    assert len(CORPUS) >= 200
    before = set(server.folder.parent.iterdir())
    workers = server.worker_pids
    jobs: dict[str, str] = {}
    for name, body in CORPUS:
        answer = server.client.post("/detect", content=body, headers={"Prefer": "respond-async"})
        assert answer.status_code < 500, f"{name}: {answer.text}"
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", name
        else:
            jobs[answer.json()["id"]] = name
    deadline = time.monotonic() + WAIT
    for job_id, name in jobs.items():
        job = server.wait(job_id, timeout=max(1.0, deadline - time.monotonic()))
        if job["status"] == "FAILED":
            assert job["problem"]["status"] < 500, f"{name}: {job['problem']}"
        else:
            assert job["status"] == "SUCCEEDED", name
    assert server.client.get("/readyz").status_code == httpx.codes.OK
    assert server.worker_pids == workers, "a worker has died of one of them"
    assert set(server.folder.parent.iterdir()) == before
    assert server.client.post("/detect", content=png(make_field(93))).json()["status"] == "SUCCEEDED"


def test_the_corpus_has_no_kind_twice() -> None:
    names = [name for name, _ in CORPUS]
    assert len(set(names)) == len(names)
    assert len({body for _, body in CORPUS}) > 0.95 * len(CORPUS)
