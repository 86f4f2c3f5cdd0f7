"""Width and height from a file's first bytes: a few bounded reads, nothing decoded.

Files may be hostile, so the API process uses no image library: libraries follow every offset and load every chunk that
a file claims to have. The worker, which may crash, opens the file properly.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scanner.errors import DamagedSlideError, UnsupportedSlideError

#: Most JPEG segments, and entries of a TIFF directory, that are read.
MAX_SEGMENTS = 5_000
MAX_ENTRIES = 4_096

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
#: Start-of-frame markers of JPEG; 0xC4, 0xC8 and 0xCC mean something else.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """Format and size of a file, from its first bytes."""

    #: Suffix by which the file is stored, from its content and never from its name.
    suffix: str
    #: Level-0 pixels; None where only the worker can tell.
    width: int | None
    height: int | None

    @property
    def pixels(self) -> int | None:
        """Level-0 pixels in all."""
        return None if self.width is None or self.height is None else self.width * self.height

    @property
    def is_plain(self) -> bool:
        """True for formats without tiles, which are decoded as a whole."""
        return self.suffix in {".png", ".jpg", ".webp", ".bmp"}


def read_header(path: Path) -> Header:
    """The header of a slide or field.

    Raises
    ------
    UnsupportedSlideError
        The first bytes are not those of a format that is read.
    DamagedSlideError
        They are, but what follows is not.
    """
    with path.open("rb") as file:
        start = file.read(132)
        try:
            if start.startswith(_PNG):
                return Header(".png", *struct.unpack(">II", start[16:24]))
            if start.startswith(b"\xff\xd8\xff"):
                return Header(".jpg", *_jpeg_size(file))
            if start.startswith(b"BM"):
                return Header(".bmp", *map(abs, struct.unpack("<ii", start[18:26])))
            if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
                return Header(".webp", *_webp_size(start))
            if start[:4] in _TIFF:
                return Header(".tif", *_tiff_size(file, *_TIFF[start[:4]]))
        except struct.error as error:
            raise DamagedSlideError("the file ends within its header") from error
    if start[128:132] == b"DICM":
        return Header(".dcm", None, None)
    raise UnsupportedSlideError("the file is not a TIFF, SVS, NDPI, DICOM, PNG, JPEG, WebP or BMP")


def _webp_size(start: bytes) -> tuple[int, int]:
    if start[12:16] == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", start[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    file.seek(2)
    for _ in range(MAX_SEGMENTS):
        lead, marker = struct.unpack(">BB", file.read(2))
        while marker == 0xFF:  # Fill bytes.
            (marker,) = struct.unpack(">B", file.read(1))
        if lead != 0xFF or marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # Markers without a segment.
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return width, height
        file.seek(max(length - 2, 0), 1)
    raise DamagedSlideError("the JPEG file has no frame header")


def _tiff_size(file: BinaryIO, order: str, is_big: bool) -> tuple[int | None, int | None]:
    """Size of the first directory; (None, None) where it does not say, as in some vendors' files."""
    file.seek(8 if is_big else 4)
    (offset,) = struct.unpack(order + ("Q" if is_big else "I"), file.read(8 if is_big else 4))
    if offset >= os.fstat(file.fileno()).st_size:
        raise DamagedSlideError("the TIFF directory lies outside the file")
    file.seek(offset)
    (count,) = struct.unpack(order + ("Q" if is_big else "H"), file.read(8 if is_big else 2))
    if not 0 < count <= MAX_ENTRIES:
        raise DamagedSlideError(f"the TIFF directory has {count} entries")
    size: dict[int, int] = {}
    for _ in range(count):
        entry = file.read(20 if is_big else 12)
        tag, kind = struct.unpack(order + "HH", entry[:4])
        if tag in {256, 257}:
            value = entry[12:] if is_big else entry[8:]
            size[tag] = struct.unpack(order + ("H" if kind == 3 else "I"), value[: 2 if kind == 3 else 4])[0]
    return size.get(256), size.get(257)
