"""From points that people judged on a slide to labelled fields: small ones, around what was judged.

Training takes all of a field that is not labelled for background. So a field is no larger than what was looked at asks
for, and what nobody judged there, or nobody was sure of, is a point to be ignored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scanner.geometry.frames import Box
from scanner.labels.naming import IGNORED_SUFFIX

#: Fields lie on a grid of cells of this side, and reach as far over their cell, as the tissue around a figure must.
CELL_PX, MARGIN_PX = 256, 96
#: Classes of points, as `scanner.labels.naming` reads them.
HARD_NEGATIVE, IGNORED = "hard negative", f"Ignore{IGNORED_SUFFIX}"


@dataclass(frozen=True)
class JudgedPoint:
    """What is known of one point."""

    #: Pixels of the grid that fields are cut from.
    row: float
    col: float
    #: A class of the model, HARD_NEGATIVE or IGNORED.
    label: str


@dataclass(frozen=True)
class JudgedField:
    """A field, and the points in it."""

    #: Where it lies on the grid.
    box: Box
    points: tuple[JudgedPoint, ...]


def fields_around(points: Sequence[JudgedPoint], *, height: int, width: int) -> list[JudgedField]:
    """The fields that hold all points that somebody judged, from the top; of the others those that lie in them.

    Parameters
    ----------
    points : sequence of JudgedPoint
        Pixel centres are integers.
    height, width : int
        Of the grid.
    """
    cells = sorted(
        {(int(one.row // CELL_PX), int(one.col // CELL_PX)) for one in points if one.label != IGNORED},
    )
    fields = []
    for cell_row, cell_col in cells:
        top, left = cell_row * CELL_PX - MARGIN_PX, cell_col * CELL_PX - MARGIN_PX
        side = CELL_PX + 2 * MARGIN_PX
        box = Box(top, left, top + side, left + side).clipped(height, width)
        inside = (one for one in points if _is_within(one, box))
        fields.append(JudgedField(box, tuple(sorted(inside, key=lambda one: (one.row, one.col, one.label)))))
    return fields


def tables_of(fields: Iterable[tuple[str, str, JudgedField]]) -> dict[str, str]:
    """`labels.csv` and `hard_negatives.csv` of fields: (name of the image, case, field) each."""
    labels, negatives = _Table("label"), _Table()
    for image, case, field in fields:
        for one in field.points:
            x, y = f"{one.col - field.box.left:.3f}", f"{one.row - field.box.top:.3f}"
            if one.label == HARD_NEGATIVE:
                negatives.add(image, case, x, y)
            else:
                labels.add(image, case, x, y, one.label)
    return {"labels.csv": labels.text, "hard_negatives.csv": negatives.text}


def _is_within(one: JudgedPoint, box: Box) -> bool:
    # A point lies in the field whose pixel it is nearest to.
    return box.top <= one.row <= box.bottom - 1 and box.left <= one.col <= box.right - 1


class _Table:
    def __init__(self, *more: str) -> None:
        self._out = io.StringIO(newline="")
        self._csv = csv.writer(self._out, lineterminator="\n")
        self._csv.writerow(("image", "case", "x", "y", *more))

    def add(self, *cells: str) -> None:
        self._csv.writerow(cells)

    @property
    def text(self) -> str:
        return self._out.getvalue()
