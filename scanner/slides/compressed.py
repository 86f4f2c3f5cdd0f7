"""The size a compressed tile says it has, read before a decoder allocates it.

A few kilobytes of JPEG may declare 65,535 x 65,535 pixels; decoding them would take 13 GB.
"""

from __future__ import annotations

import struct

from tifffile import COMPRESSION

JPEG = {COMPRESSION.JPEG}
JPEG2000 = {COMPRESSION.JPEG2000, COMPRESSION.APERIO_JP2000_RGB}

#: Start-of-frame markers: all of 0xC0..0xCF but DHT, JPG and DAC.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ


def check_declared_size(encoded: bytes, compression: int, max_area: int) -> None:
    """ValueError if JPEG or JPEG 2000 bytes declare more than `max_area` pixels."""
    if compression in JPEG:
        height, width = jpeg_size(encoded)
    elif compression in JPEG2000:
        height, width = jpeg2000_size(encoded)
    else:
        return  # The other decoders are told how much may come out.
    if height * width > max_area:
        raise ValueError(f"declares {width} x {height} px")


def jpeg_size(encoded: bytes) -> tuple[int, int]:
    """(height, width) in a JPEG stream's frame header; (0, 0) if it has none."""
    position = 2  # after SOI
    while position + 9 <= len(encoded):
        if encoded[position] != 0xFF:
            break
        marker = encoded[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", encoded, position + 5)
            return height, width
        if marker in (0xFF, 0x01, *range(0xD0, 0xD9)):  # Filler and markers that carry no segment.
            position += 1 if marker == 0xFF else 2
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return 0, 0


def jpeg2000_size(encoded: bytes) -> tuple[int, int]:
    """(height, width) in a JPEG 2000 codestream's SIZ segment; (0, 0) if it has none."""
    start = encoded.find(_JPEG2000_START, 0, 4096)
    if start < 0 or start + 24 > len(encoded):
        return 0, 0
    right, bottom, left, top = struct.unpack_from(">IIII", encoded, start + 8)
    return bottom - top, right - left
