"""Hostile files: a corpus of named kinds, each made to break one habit of readers."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import tifffile
from PIL import Image

from tests.service.fields import make_field, png
from tests.service.hostile_zips import hostile_zips

File = tuple[str, bytes]
#: TIFF tag -> what it says.
TAGS = {
    254: "kind",
    256: "width",
    257: "height",
    258: "bits",
    259: "compression",
    262: "colour",
    266: "fill order",
    273: "place of strips",
    274: "orientation",
    277: "samples",
    278: "rows per strip",
    279: "bytes of strips",
    282: "resolution",
    284: "planes",
    317: "predictor",
    320: "palette",
    322: "tile width",
    323: "tile height",
    324: "place of tiles",
    325: "bytes of tiles",
    330: "sub-directories",
    338: "extra samples",
    339: "sample format",
    347: "JPEG tables",
    530: "subsampling",
    34675: "profile",
    50839: "metadata",
}


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


def hostile_tags() -> Iterator[File]:
    """A sound little TIFF in which one tag says something impossible, or too much."""
    sound = {256: (4, 64), 257: (4, 64), 258: (3, 8), 259: (3, 1), 262: (3, 2), 273: (4, 200), 277: (3, 3)}
    sound |= {278: (4, 64), 279: (4, 64 * 64 * 3)}
    for tag, name in TAGS.items():
        for value in (0, 2**16 - 1, 2**31 - 1, 2**32 - 1):
            entries = sound | {tag: (4, value)}
            yield (
                f"TIFF whose {name} is {value}",
                directory(*(entry(key, kind, 1, said) for key, (kind, said) in sorted(entries.items())))
                + bytes(12_400),
            )


def hostile_chunks() -> Iterator[File]:
    """A sound PNG with one chunk too many, too long, or out of place."""
    sound = png(make_field(94, 64, 64))
    end_of_header = 8 + 25
    for name in (b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"IHDR", b"IEND", b"aAaa", b"AAAA"):
        for content in (b"", bytes(3), b"\xff" * 70_000):
            kind = f"PNG with a chunk {name.decode()} of {len(content)} bytes"
            yield kind, sound[:end_of_header] + chunk(name, content) + sound[end_of_header:]
    yield "PNG whose chunk says 2^31 bytes", sound[:end_of_header] + struct.pack(">I4s", 2**31, b"IDAT") + sound[41:]
    yield "PNG whose checksums are wrong", sound.replace(sound[29:33], b"\0\0\0\0", 1)


def hostile_segments() -> Iterator[File]:
    """A sound JPEG with one segment too many."""
    sound = picture("JPEG")
    for marker in (0xC0, 0xC2, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE1, 0xE2, 0xEE, 0xFE):
        for content in (b"", b"\xff" * 64, bytes(65_000)):
            segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
            yield f"JPEG with a segment {marker:X} of {len(content)} bytes", sound[:2] + segment + sound[2:]


def corpus() -> list[File]:
    """All named kinds, none twice."""
    makers = (hostile_tiffs, hostile_tags, hostile_pictures, hostile_chunks, hostile_segments, hostile_zips, strangers)
    return [file for make in makers for file in make()]
