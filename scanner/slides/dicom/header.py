"""The series that a DICOM file belongs to, and what it holds: a slide is a series, each level a file or several.

OpenSlide opens the whole slide from any of its files, but does not say which they are. Only the head of a file is
read, and only in the encoding that OpenSlide reads too: explicit lengths, little endian. pydicom takes ten times as
long, 0.3 ms a file, and a folder may hold thousands.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scanner.files.regular_files import open_regular

#: The UID stands behind the patient's and the scanner's data and before the pixels'.
_HEAD_BYTES = 1 << 20
_PREAMBLE = 128
_SERIES_UID = (0x0020, 0x000E)
_SOP_CLASS = (0x0002, 0x0002)
_MODALITY = (0x0008, 0x0060)
_PIXELS = (0x7FE0, 0x0008)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
#: These have a length of four bytes, after two that are left free.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}

Tag = tuple[int, int]

#: What is in a file, by the end of its SOP class (1.2.840.10008.5.1.4.1.1...); the first that fits counts.
_KINDS = {
    "77.1.6": "a whole slide",
    "77.1.2": "a microscope's single picture",
    "77.1.3": "a microscope's single picture",
    "77.1": "photographs or endoscopy",
    "7": "secondary capture",
    "2": "CT",
    "4": "MR",
    "6.1": "ultrasound",
    "1": "X-ray",
    "12": "X-ray",
    "128": "PET",
    "20": "nuclear medicine",
    "66.4": "segmentation",
    "66": "measurements",
    "91.1": "annotations of a slide",
    "88": "a report",
    "104": "an encapsulated document",
    "9": "waveforms",
    "11": "presentation states",
    "481": "radiotherapy",
}
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY = "1.2.840.10008.1.3.10"


def series_of(path: Path) -> str | None:
    """SeriesInstanceUID of a DICOM file; None if it is none, or cannot be read."""
    return _series_in(_head_of(path))


def heads_of_series(path: Path) -> Iterator[tuple[Path, bytes]]:
    """The files of the series that a DICOM file belongs to, by their names, each with its head; none if it has none."""
    series = series_of(path)
    for file in sorted(path.parent.iterdir()) if series is not None else ():
        head = _head_of(file)
        if _series_in(head) == series:
            yield file, head


def kind_of(path: Path) -> str:
    """What a DICOM file holds, in words: "CT", "a report"; "another kind" if its head does not say."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    with suppress(struct.error):
        sop_class = _find(head, _SOP_CLASS) or ""
        if sop_class == _DIRECTORY:
            return "a directory (DICOMDIR)"
        place = sop_class.removeprefix(_STORAGE)
        for beginning, kind in _KINDS.items():
            if place != sop_class and (place == beginning or place.startswith(f"{beginning}.")):
                return kind
        if modality := _find(head, _MODALITY):
            return f"modality {modality}"
    return "another kind"


def elements(head: bytes) -> Iterator[tuple[Tag, bytes]]:
    """Every element of a file's head with its bytes, in its order, those within sequences too; none of a sequence.

    Raises
    ------
    struct.error
        The head ends before the pixels begin.
    """
    if not head[_PREAMBLE:].startswith(b"DICM"):
        return
    place = _PREAMBLE + 4
    while True:
        tag, length, start = _element(head, place)
        is_frame = tag in (_ITEM, _ITEM_END, _SEQUENCE_END)
        if is_frame or head[place + 4 : place + 6] == b"SQ":
            place = start
            continue
        if tag >= _PIXELS:
            return
        if length != _UNDEFINED:
            yield tag, head[start : start + length]
        place = _end_of_sequence(head, start) if length == _UNDEFINED else start + length


def _head_of(path: Path) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def _series_in(head: bytes) -> str | None:
    try:
        return _find(head, _SERIES_UID) if head[_PREAMBLE:].startswith(b"DICM") else None
    except struct.error:
        return None


def _find(head: bytes, wanted: Tag) -> str | None:
    """The text of an element that stands outside sequences; None if there is none."""
    place = _PREAMBLE + 4
    while True:
        tag, length, start = _element(head, place)
        if tag == wanted:
            return head[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        if tag > wanted:
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
