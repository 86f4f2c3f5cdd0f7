"""The pixel size of each level of a DICOM slide, which each file of the series states.

OpenSlide takes a level's downsample from its size, which is wrong where a writer has filled it up to whole tiles.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scanner.slides.dicom.header import Tag, elements, heads_of_series

_SLIDE_WIDTH, _SLIDE_HEIGHT = (0x0048, 0x0001), (0x0048, 0x0002)  # mm
_MATRIX_COLS, _MATRIX_ROWS = (0x0048, 0x0006), (0x0048, 0x0007)
_ROWS, _COLS = (0x0028, 0x0010), (0x0028, 0x0011)  # of a frame
_SPACING = (0x0028, 0x0030)  # mm, down and across; in the groups of all frames or in those of each
#: Pixels that are further from square say nothing of a downsample.
SQUARE = 0.05


@dataclass(frozen=True)
class Measures:
    """What one file states of its level."""

    #: (height, width) of the level, and of a frame.
    size: tuple[int, int]
    tile: tuple[int, int]
    #: Millimetres per pixel.
    spacing: float


def measure_levels(path: Path) -> dict[tuple[int, int], Measures]:
    """By the (height, width) of a level, what the files of the series say that `path` belongs to."""
    found: dict[tuple[int, int], Measures] = {}
    for _, head in heads_of_series(path):
        if (measures := measures_in(head)) is not None:
            found.setdefault(measures.size, measures)
    return found


def measures_in(head: bytes) -> Measures | None:
    """Size and spacing from the head of a DICOM file; None if it does not say both."""
    values: dict[Tag, bytes] = {}
    with suppress(struct.error):  # Not all of it is in the head: what is there counts.
        for tag, value in elements(head):
            if tag != _SPACING or _MATRIX_ROWS in values:  # What stands before is another image's.
                values.setdefault(tag, value)
            if _SPACING in values and tag > _MATRIX_ROWS:
                break
    size, tile = _whole(values, _MATRIX_ROWS, _MATRIX_COLS), _whole(values, _ROWS, _COLS)
    spacing = next(_spacings(values, size), None) if size else None
    return Measures(size, tile or (1, 1), spacing) if size and spacing else None


def _whole(values: dict[Tag, bytes], *tags: Tag) -> tuple[int, int] | None:
    """Two whole numbers of two bytes or four."""
    found = [int.from_bytes(values[tag], "little") for tag in tags if len(values.get(tag, b"")) in (2, 4)]
    return (found[0], found[1]) if len(found) == 2 and all(found) else None


def _spacings(values: dict[Tag, bytes], size: tuple[int, int]) -> Iterator[float]:
    """The pixel's side by its spacing, else by the size of the slide."""
    for sides in (_decimals(values.get(_SPACING, b"")), _sides(values, size)):
        if len(sides) == 2 and all(math.isfinite(side) and side > 0 for side in sides):
            mean = sum(sides) / 2
            if abs(sides[0] - sides[1]) <= SQUARE * mean:
                yield mean


def _decimals(value: bytes) -> list[float]:
    try:
        return [float(part) for part in value.rstrip(b"\0 ").decode("ascii").split("\\")]
    except ValueError:
        return []


def _sides(values: dict[Tag, bytes], size: tuple[int, int]) -> list[float]:
    lengths = [values.get(tag, b"") for tag in (_SLIDE_HEIGHT, _SLIDE_WIDTH)]
    if any(len(length) != 4 for length in lengths):
        return []
    return [struct.unpack("<f", length)[0] / count for length, count in zip(lengths, size, strict=True)]
