"""What a label marks in a field: points, boxes and outlines, and what training makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import SettingsError
from scanner.geometry.features import Ring
from scanner.geometry.filling import cells_within


@dataclass(frozen=True)
class Mark:
    """One label: a place, and an outline if there is one."""

    #: Index of its class, or NO_CLASS; None: readers disagreed, and decided that it is no figure.
    kind: int | None
    #: (row, col), pixel centres at whole numbers.
    centre: tuple[float, float]
    #: The outline and its holes, along the edges of pixels, where 0 is the field's corner.
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
    rows, cols = (np.arange(side) + 0.5 for side in shape)
    for mark in marks:
        if mark.rings and mark.kind is not None:
            place, inside = cells_within(mark.rings, rows, cols)
            painted[place][inside] = mark.kind
    return painted
