"""The size that a compressed tile declares, read before a decoder allocates it.

A few kilobytes of JPEG may declare 65,535 x 65,535 pixels; decoding them would take 13 GB.
"""

from __future__ import annotations

import struct

from tifffile import COMPRESSION

from scanner.slides.files.magic import PNG_HEAD

JPEG = {COMPRESSION.JPEG}
JPEG2000 = {COMPRESSION.JPEG2000, COMPRESSION.APERIO_JP2000_RGB}
JPEGXL = {COMPRESSION.JPEGXL, COMPRESSION.JPEGXL_DNG}
WEBP = {COMPRESSION.WEBP, COMPRESSION.WEBP_DEPRECATED}
PNG = {COMPRESSION.PNG}

#: Start-of-frame markers: all of 0xC0..0xCF but DHT, JPG and DAC.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ


def check_declared_size(encoded: bytes, compression: int, max_area: int) -> None:
    """ValueError if the bytes of a picture declare more than `max_area` pixels, or more than one picture."""
    size_of = next((size for kinds, size in _SIZES if compression in kinds), None)
    if size_of is None:
        return  # The other decoders are told how much may come out.
    height, width = size_of(encoded)
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


def png_size(encoded: bytes) -> tuple[int, int]:
    """(height, width) in a PNG's header; (0, 0) if it has none. ValueError if it is an animation."""
    if encoded[:8] != PNG_HEAD or len(encoded) < 24:
        return 0, 0
    if 0 <= encoded.find(b"acTL") < encoded.find(b"IDAT"):
        raise ValueError("declares an animation")
    width, height = struct.unpack_from(">II", encoded, 16)
    return height, width


def webp_size(encoded: bytes) -> tuple[int, int]:
    """(height, width) in the first chunk of a WebP; (0, 0) if it has none. ValueError if it is an animation."""
    kind = encoded[12:16]
    if encoded[:4] != b"RIFF" or len(encoded) < 30:
        return 0, 0
    if kind == b"VP8X":
        if encoded[20] & 0b10:
            raise ValueError("declares an animation")
        return int.from_bytes(encoded[27:30], "little") + 1, int.from_bytes(encoded[24:27], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(encoded[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", encoded, 26)
    return height & 0x3FFF, width & 0x3FFF


def jpegxl_size(encoded: bytes) -> tuple[int, int]:
    """(height, width) in a JPEG XL codestream, alone or in boxes; (0, 0) if it has none.

    ValueError if it declares what no tile has: an animation, a preview, or an orientation.
    """
    stream = _codestream(encoded)
    if stream[:2] != b"\xff\x0a" or len(stream) < 12:
        return 0, 0
    bits = _Bits(int.from_bytes(stream[2:24], "little"))
    is_small = bits.take(1)
    height = _jpegxl_side(bits, is_small)
    over, under = _JPEGXL_RATIOS[bits.take(3)]
    width = height * over // under if over else _jpegxl_side(bits, is_small)
    is_default = bits.take(1)
    if not is_default and bits.take(1):
        raise ValueError("declares an animation, a preview or an orientation")
    return height, width


#: Width : height by their code; the first is stated instead.
_JPEGXL_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class _Bits:
    """Bits, the lowest first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & (1 << count) - 1
        self._value >>= count
        return taken


def _jpegxl_side(bits: _Bits, is_small: int) -> int:
    return 8 * (bits.take(5) + 1) if is_small else bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _codestream(encoded: bytes) -> bytes:
    """The beginning of the codestream: of the bytes themselves, or of the box that holds it."""
    place = 0
    while encoded[:2] != b"\xff\x0a" and place + 8 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, place)
        if kind in (b"jxlc", b"jxlp"):
            start = place + 8 + (8 if length == 1 else 0) + (4 if kind == b"jxlp" else 0)
            return encoded[start : start + 32]
        if length < 8:
            return b""
        place += length
    return encoded[:32]


_SIZES = (
    (JPEG, jpeg_size),
    (JPEG2000, jpeg2000_size),
    (JPEGXL, jpegxl_size),
    (WEBP, webp_size),
    (PNG, png_size),
)
