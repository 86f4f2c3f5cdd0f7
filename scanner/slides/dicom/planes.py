"""DICOM slides of several optical paths or focal planes: OpenSlide reads the first, or none; here they are refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

from scanner.errors import UnsupportedSlideError
from scanner.slides.dicom.header import Tag, elements, heads_of_series

_IMAGE_TYPE = (0x0008, 0x0008)
_MATRIX_COLS, _MATRIX_ROWS = (0x0048, 0x0006), (0x0048, 0x0007)
#: Numbers that must be 1 in a slide of one plane, and what they count.
_PLANES = {(0x0048, 0x0302): "optical paths", (0x0048, 0x0303): "focal planes"}
_INSTANCE_OF_LEVEL, _CONCATENATION = (0x0008, 0x0018), (0x0020, 0x9161)
_GROUPS = (0x5200, 0x0000)
_WAY_OUT = "a scan needs one plane; write the one that is wanted as a series of its own"


def refuse_planes(path: Path) -> None:
    """UnsupportedSlideError if the series of a DICOM file holds its slide several times: in other light or focus."""
    seen: dict[tuple[bytes, bytes], tuple[Path, bytes]] = {}
    for file, head in heads_of_series(path):
        values = _values(head)
        if b"VOLUME" not in values.get(_IMAGE_TYPE, b"").split(b"\\"):
            continue
        for tag, what in _PLANES.items():
            if (count := int.from_bytes(values.get(tag, b""), "little")) > 1:
                raise UnsupportedSlideError(f"{path}: {file.name} holds {count} {what}: {_WAY_OUT}")
        size = values.get(_MATRIX_ROWS, b""), values.get(_MATRIX_COLS, b"")
        # Parts of one level have their concatenation in common.
        level = values.get(_CONCATENATION) or values.get(_INSTANCE_OF_LEVEL, b"")
        other, same = seen.setdefault(size, (file, level))
        if same != level:
            raise UnsupportedSlideError(
                f"{path}: {other.name} and {file.name} of its series have the same size, as several optical paths "
                f"or focal planes have: {_WAY_OUT}"
            )


def _values(head: bytes) -> dict[Tag, bytes]:
    values: dict[Tag, bytes] = {}
    with suppress(struct.error):  # Not all of it is in the head: what is there counts.
        for tag, value in elements(head):
            if tag > _GROUPS:
                break
            values.setdefault(tag, value)
    return values
