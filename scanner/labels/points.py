"""PointsField: a field of which only some points are labelled, and the rest is unknown.

A data folder holds `images/`, `labels.csv` (figures), `hard_negatives.csv` (other cells) and, if wanted, `unsure.csv`
(points that count as neither), each with the columns image, x, y. Whatever lies elsewhere in a field may be a figure
too: it is neither right nor wrong to detect it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scanner.errors import SettingsError
from scanner.labels.fields import Points, shape_of_field
from scanner.labels.tables import Point, read_points, refuse_points_off

#: The tables of a folder, and whether each must be there.
TABLES = {"labels.csv": True, "hard_negatives.csv": True, "unsure.csv": False}


@dataclass(frozen=True)
class PointsField:
    """Where the pixels of a field are, and the points that are labelled in it: (row, col) in level-0 pixels."""

    path: Path
    #: Micrometres per pixel.
    mpp: float
    figures: Points
    #: Cells that are no figures.
    others: Points
    #: Points that count as neither.
    unsure: Points

    @property
    def points(self) -> Points:
        """All of them."""
        return np.concatenate([self.figures, self.others, self.unsure])


def read_points_fields(folder: Path, *, mpp: float) -> tuple[PointsField, ...]:
    """The fields of a folder that have at least one point, sorted by name.

    Parameters
    ----------
    folder : Path
    mpp : float
        Micrometres per pixel of all its images.

    Raises
    ------
    SettingsError
        A table is missing, or names an image that is absent, or a place off its image.
    """
    kinds: list[dict[str, list[Point]]] = []
    for name, is_required in TABLES.items():
        own: dict[str, list[Point]] = defaultdict(list)
        for point in read_points(folder / name, required=is_required):
            own[point.image].append(point)
        kinds.append(own)
    images = sorted({image for kind in kinds for image in kind})
    return tuple(_field(folder / "images" / image, [kind.get(image, []) for kind in kinds], mpp) for image in images)


def _field(path: Path, kinds: list[list[Point]], mpp: float) -> PointsField:
    if not path.is_file():
        point = next(point for kind in kinds for point in kind)
        raise SettingsError(f"{point.where}: {path.parent} does not hold {path.name}")
    refuse_points_off((point for kind in kinds for point in kind), shape_of_field(path))
    figures, others, unsure = (np.array([p.place for p in kind], np.float64).reshape(-1, 2) for kind in kinds)
    return PointsField(path, mpp, figures, others, unsure)
