"""DICOM slides of several optical paths or focal planes: OpenSlide reads the first, or none; here they are refused."""

from __future__ import annotations

import struct
from pathlib import Path

from scanner.errors import UnsupportedSlideError
from scanner.slides.dicom_header import Tag, elements, series_of

_IMAGE_TYPE = (0x0008, 0x0008)
_MATRIX_COLS, _MATRIX_ROWS = (0x0048, 0x0006), (0x0048, 0x0007)
#: Numbers that must be 1 in a slide of one plane, and what they count.
_PLANES = {(0x0048, 0x0302): "optical paths", (0x0048, 0x0303): "focal planes"}
_INSTANCE_OF_LEVEL, _CONCATENATION = (0x0008, 0x0018), (0x0020, 0x9161)
_GROUPS = (0x5200, 0x0000)
_HEAD_BYTES = 1 << 20
_WAY_OUT = "a scan needs one plane; write the one that is wanted as a series of its own"


def refuse_planes(path: Path) -> None:
    """UnsupportedSlideError if the series of a DICOM file holds its slide several times: in other light or focus."""
    series = series_of(path)
    if series is None:
        return
    seen: dict[tuple[bytes, bytes], tuple[Path, bytes]] = {}
    for file in sorted(path.parent.iterdir()):
        if not file.is_file() or series_of(file) != series:
            continue
        values = _values(file)
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
                f"{path}: {other.name} and {file.name} of its series are of the same size, as of several optical paths "
                f"or focal planes: {_WAY_OUT}"
            )


def _values(path: Path) -> dict[Tag, bytes]:
    values: dict[Tag, bytes] = {}
    try:
        with path.open("rb") as file:
            for tag, value in elements(file.read(_HEAD_BYTES)):
                if tag > _GROUPS:
                    break
                values.setdefault(tag, value)
    except (OSError, struct.error):  # Not all of it is in the head: what is there counts.
        pass
    return values
