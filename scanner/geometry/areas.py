"""Areas: polygons with holes, from GeoJSON and from masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanner.errors import MaskError
from scanner.files.texts import decode
from scanner.geometry.features import Feature, Ring, features_of, shapes_of
from scanner.geometry.frames import Box

#: Row and column of a corner of cells.
Corner = tuple[int, int]


@dataclass(frozen=True)
class Area:
    """Polygons that belong together."""

    #: Its class or name, as QuPath shows it; empty if it has none.
    name: str
    #: Each polygon is its outline, then its holes.
    polygons: tuple[tuple[Ring, ...], ...]


def areas_from_geojson(content: bytes, path: Path) -> list[Area]:
    """The polygons in a FeatureCollection, a Feature, a list of those, or a geometry; points and lines are left out.

    Parameters
    ----------
    content : bytes
    path : Path
        Named in errors.

    Raises
    ------
    MaskError
        Not GeoJSON, or it holds things but no polygon.
    """
    try:
        parsed = json.loads(decode(content))
    except ValueError as error:
        raise MaskError(f"{path}: not GeoJSON: {error}") from error
    try:
        features = features_of(parsed, str(path))
        drawn = [(_name_of(feature), shapes_of(feature).polygons) for feature in features]
    except ValueError as error:
        raise MaskError(f"{path}: not GeoJSON as QuPath writes it: {error}") from error
    areas = [Area(name, polygons) for name, polygons in drawn if polygons]
    if features and not areas:
        raise MaskError(f"{path}: holds no polygon")
    return areas


def rings_from_mask(mask: npt.NDArray[np.bool_]) -> list[tuple[Ring, ...]]:
    """The outlines of a mask along its cells' sides, as polygons with holes.

    Parameters
    ----------
    mask : ndarray of shape (rows, cols), bool

    Returns
    -------
    list of tuple of ndarray
        One polygon an island, islands in raster order; corners in cells, clockwise outside and counter-clockwise round
        holes. Cells that touch in a corner only are apart, and no ring passes a corner twice.
    """
    islands, _ = ndimage.label(mask)
    polygons = []
    for index, place in enumerate(ndimage.find_objects(islands), start=1):
        offset = place[0].start, place[1].start
        polygons.append(tuple(ring + offset for ring in _trace(islands[place] == index)))
    return polygons


def rings_from_boxes(boxes: Sequence[Box]) -> list[tuple[Ring, ...]]:
    """The outlines of what boxes cover together, as polygons with holes; islands and corners as in `rings_from_mask`.

    Parameters
    ----------
    boxes : sequence of Box
        They may touch and overlap.

    Returns
    -------
    list of tuple of ndarray
        Corners in the boxes' px.
    """
    if not boxes:
        return []
    rows = np.unique([edge for box in boxes for edge in (box.top, box.bottom)])
    cols = np.unique([edge for box in boxes for edge in (box.left, box.right)])
    covered = np.zeros((len(rows) - 1, len(cols) - 1), np.bool_)
    for box in boxes:
        top, bottom = np.searchsorted(rows, (box.top, box.bottom))
        left, right = np.searchsorted(cols, (box.left, box.right))
        covered[top:bottom, left:right] = True

    def in_px(ring: Ring) -> Ring:
        corners = ring.astype(np.intp)
        return np.stack([rows[corners[:, 0]], cols[corners[:, 1]]], axis=1).astype(np.float64)

    return [tuple(in_px(ring) for ring in rings) for rings in rings_from_mask(covered)]


def _trace(island: npt.NDArray[np.bool_]) -> list[Ring]:
    """The closed lines around one island, the outer one first: the island lies to the right of each step."""
    framed = np.pad(island, 1).astype(np.int8)
    steps: dict[Corner, list[Corner]] = {}
    down, across = np.diff(framed, axis=0), np.diff(framed, axis=1)
    for row, col in np.argwhere(down[:, 1:-1]).tolist():  # Top and bottom sides of cells.
        start, end = ((row, col), (row, col + 1)) if down[row, col + 1] > 0 else ((row, col + 1), (row, col))
        steps.setdefault(start, []).append(end)
    for row, col in np.argwhere(across[1:-1]).tolist():  # Left and right sides.
        start, end = ((row + 1, col), (row, col)) if across[row + 1, col] > 0 else ((row, col), (row + 1, col))
        steps.setdefault(start, []).append(end)
    return [_walk(steps, start) for start in sorted(steps) if start in steps]


def _walk(steps: dict[Corner, list[Corner]], start: Corner) -> Ring:
    """Take the closed line from `start` out of `steps`; straight runs become one side."""
    corners: list[Corner] = []
    place, heading = start, (0, 0)
    while not corners or place != start:
        ahead = steps[place]
        # Where two lines meet, the left one turns away from the cell: a hole that touches the outline stays a hole.
        nearest = min(ahead, key=lambda end: _turn(heading, (end[0] - place[0], end[1] - place[1])))
        ahead.remove(nearest)
        if not ahead:
            del steps[place]
        step = nearest[0] - place[0], nearest[1] - place[1]
        if step != heading:
            corners.append(place)
        place, heading = nearest, step
    return np.array(corners, np.float64)


def _turn(heading: Corner, step: Corner) -> int:
    """1 for a turn to the right, -1 to the left, 0 straight on; rows run downwards."""
    return heading[1] * step[0] - heading[0] * step[1]


def _name_of(feature: Feature) -> str:
    """The class or name of a feature; empty if it has none."""
    return feature.class_name or str(feature.properties.get("name") or "")
