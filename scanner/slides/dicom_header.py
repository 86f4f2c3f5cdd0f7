"""The series that a DICOM file belongs to: a slide is a series, each level a file or several.

OpenSlide opens the whole slide from any of its files, but does not say which they are. Only the head of a file is
read, and only in the encoding that OpenSlide reads too: explicit lengths, little endian.
"""

from __future__ import annotations

import struct
from pathlib import Path

#: The UID stands behind the patient's and the scanner's data and before the pixels'.
_HEAD_BYTES = 1 << 20
_PREAMBLE = 128
_SERIES_UID = (0x0020, 0x000E)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
#: These have a length of four bytes, after two that are left free.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}

Tag = tuple[int, int]


def series_of(path: Path) -> str | None:
    """SeriesInstanceUID of a DICOM file; None if it is none, or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        return _find_series(head) if head[_PREAMBLE:].startswith(b"DICM") else None
    except (OSError, struct.error):
        return None


def _find_series(head: bytes) -> str | None:
    place = _PREAMBLE + 4
    while True:
        tag, length, start = _element(head, place)
        if tag == _SERIES_UID:
            return head[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        if tag > _SERIES_UID:
            return None
        place = _end_of_sequence(head, start) if length == _UNDEFINED else start + length


def _element(head: bytes, place: int) -> tuple[Tag, int, int]:
    """Tag, length and start of the value of the element at `place`."""
    group, element = struct.unpack_from("<HH", head, place)
    if group == _ITEM[0]:
        return (group, element), struct.unpack_from("<I", head, place + 4)[0], place + 8
    if head[place + 4 : place + 6] in _LONG:
        return (group, element), struct.unpack_from("<I", head, place + 8)[0], place + 12
    return (group, element), struct.unpack_from("<H", head, place + 6)[0], place + 8


def _end_of_sequence(head: bytes, place: int) -> int:
    """Where a sequence of undefined length ends; within it, items may be as undefined."""
    depth = 1
    while depth:
        tag, length, start = _element(head, place)
        if tag in (_ITEM_END, _SEQUENCE_END):
            depth -= 1
            place = start
        elif length == _UNDEFINED:
            depth += 1
            place = start
        else:
            place = start if tag == _ITEM else start + length
    return place
