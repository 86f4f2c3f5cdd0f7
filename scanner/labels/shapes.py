"""What a label marks in a field: points, boxes and outlines, and what training makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import SettingsError

#: Corners (row, col) along the edges of pixels, where 0 is the field's corner; float64 (N, 2).
Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """One label: a place, and an outline if there is one."""

    #: Index of its class, or NO_CLASS; None: readers disagreed, and decided that it is no figure.
    kind: int | None
    #: (row, col), pixel centres at whole numbers.
    centre: tuple[float, float]
    #: The outline and its holes.
    rings: tuple[Ring, ...] = field(default=())
    #: Where it stands, for messages: the file, and which of its labels.
    where: str = ""


def mark_of_rings(kind: int | None, rings: Sequence[Ring], *, where: str = "") -> Mark:
    """An outline with its holes, and its centre of mass."""
    return Mark(kind, centre_of_ring(rings[0]), tuple(rings), where)


def mark_of_box(kind: int | None, box: tuple[float, float, float, float], *, where: str = "") -> Mark:
    """A box (top, left, bottom, right) along the edges of pixels."""
    top, left, bottom, right = box
    ring = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    return Mark(kind, ((top + bottom - 1) / 2, (left + right - 1) / 2), (ring,), where)


def refuse_marks_off(marks: Iterable[Mark], shape: tuple[int, int], image: Path) -> None:
    """SettingsError if the centre of a mark lies off its image of that (height, width); names the label."""
    height, width = shape
    for mark in marks:
        row, col = mark.centre
        if is_off(mark.centre, shape):
            raise SettingsError(
                f"{mark.where or image}: its centre ({col:g}, {row:g}) (x, y) lies outside {image.name} of "
                f"{width} x {height} px; are these labels of that image, in its pixels?"
            )


def is_off(place: tuple[float, float], shape: tuple[int, int]) -> bool:
    """Whether a (row, col), pixel centres at whole numbers, lies off an image of that (height, width)."""
    return any(not -0.5 <= where <= side - 0.5 for where, side in zip(place, shape, strict=True))


def centre_of_ring(ring: Ring) -> tuple[float, float]:
    """The centre of mass of what a ring encloses, pixel centres at whole numbers."""
    rows, cols = ring[:, 0], ring[:, 1]
    cross = rows * np.roll(cols, -1) - np.roll(rows, -1) * cols
    area = cross.sum() / 2
    if abs(area) < 1e-9:
        row, col = ring.mean(axis=0)
    else:
        row = ((rows + np.roll(rows, -1)) * cross).sum() / (6 * area)
        col = ((cols + np.roll(cols, -1)) * cross).sum() / (6 * area)
    return float(row) - 0.5, float(col) - 0.5


def paint_marks(marks: Iterable[Mark], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The class of every pixel of a field: that of the last outline that its centre lies in, else the background.

    Parameters
    ----------
    marks : iterable of Mark
        Those without outline, and the disputed, paint nothing.
    shape : (int, int)
        Height and width of the field.

    Returns
    -------
    ndarray of shape `shape`, uint8
    """
    painted = np.zeros(shape, np.uint8)
    for mark in marks:
        if mark.rings and mark.kind is not None:
            _paint(painted, mark.rings, mark.kind)
    return painted


def _paint(painted: npt.NDArray[np.uint8], rings: Sequence[Ring], kind: int) -> None:
    """Even-odd filling, a row of pixel centres at a time, of the rows that the outline reaches."""
    first = max(0, int(np.floor(min(ring[:, 0].min() for ring in rings))))
    last = min(painted.shape[0], int(np.ceil(max(ring[:, 0].max() for ring in rings))))
    for row in range(first, last):
        crossings = np.sort(np.concatenate([_crossings(ring, row + 0.5) for ring in rings]))
        for start, stop in zip(crossings[::2], crossings[1::2], strict=False):
            left, right = (int(np.ceil(edge - 0.5)) for edge in (start, stop))
            painted[row, max(0, left) : max(0, right)] = kind


def _crossings(ring: Ring, level: float) -> npt.NDArray[np.float64]:
    """Where the edges of a ring cross a row: columns."""
    after = np.roll(ring, -1, axis=0)
    crosses = (ring[:, 0] <= level) != (after[:, 0] <= level)
    start, stop = ring[crosses], after[crosses]
    share = (level - start[:, 0]) / (stop[:, 0] - start[:, 0])
    columns: npt.NDArray[np.float64] = start[:, 1] + share * (stop[:, 1] - start[:, 1])
    return columns
