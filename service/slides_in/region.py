"""Regions: the part of a slide that a client draws, checked before anything is scanned, and as a mask for the scan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scanner.files.atomic import write_text
from scanner.geometry.outlines import find_crossing, is_straight
from service.problems import ReportedError

#: Corners x, y of an outline, in level-0 px from the slide's top left corner; the first is not repeated.
Region = tuple[tuple[float, float], ...]
#: Most corners of a region.
MAX_CORNERS = 1000
#: Parts of a level-0 px that corners are rounded to.
PARTS = 1000
#: A scan's mask, among the files of its result.
REGION_FILE = "region.geojson"


class BadRegionError(ReportedError, ValueError):
    """A region is none, or none of this slide."""

    problem_type = "invalid-request"


def region_from_ring(ring: Sequence[Sequence[float]], *, width: int, height: int) -> Region:
    """The region within a ring of GeoJSON, in level-0 px.

    Parameters
    ----------
    ring : sequence of (x, y)
        The last is the first.
    width, height : int
        Of the slide.

    Raises
    ------
    BadRegionError
        It is not closed, leaves the slide, encloses nothing or meets itself; names the corner.
    """
    corners = [(round(float(x), 3), round(float(y), 3)) for x, y in ring]
    if corners[0] != corners[-1]:
        raise BadRegionError(f"region: the outline is not closed: repeat its first corner {corners[0]} at the end")
    for number, (x, y) in enumerate(corners, start=1):
        if not (0 <= x <= width and 0 <= y <= height):
            raise BadRegionError(
                f"region: corner {number} at {(x, y)} lies off the slide, which has {width} x {height} px"
            )
    kept = [one for one, following in pairwise(corners) if one != following]
    _require_simple(kept)
    return tuple(kept)


def _require_simple(corners: list[tuple[float, float]]) -> None:
    exact = np.rint(np.array(corners, np.float64).reshape(-1, 2) * PARTS).astype(np.int64)
    if len(exact) < 3 or is_straight(exact):
        raise BadRegionError("region: its corners lie on one line, or are one: it encloses nothing")
    if crossing := find_crossing(exact):
        (first, second), count = crossing, len(corners)
        sides = [f"{corners[side]} to {corners[(side + 1) % count]}" for side in (first, second)]
        raise BadRegionError(f"region: the outline meets itself: the side {sides[0]} and the side {sides[1]}")


def geometry_of(region: Region) -> dict[str, Any]:
    """The region as a geometry of GeoJSON."""
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in (*region, region[0])]]}


def describe_region(region: Region) -> str:
    """Where a region lies, in words."""
    (left, right), (top, bottom) = ((min(places), max(places)) for places in zip(*region, strict=True))
    return f"x {left:g} to {right:g}, y {top:g} to {bottom:g} px, {len(region)} corners"


def write_mask(folder: Path, region: Region, *, origin: tuple[int, int]) -> Path | None:
    """Write the region as the mask of a scan; None without a region.

    Parameters
    ----------
    folder : Path
    region : Region
    origin : (int, int)
        Level-0 (row, col) that a mask counts from; see `Slide.origin`.
    """
    if not region:
        return None
    top, left = origin
    path = folder / REGION_FILE
    geometry = geometry_of(tuple((round(x - left, 3), round(y - top, 3)) for x, y in region))
    properties = {"objectType": "annotation", "name": "Region"}
    write_text(path, json.dumps({"type": "Feature", "geometry": geometry, "properties": properties}))
    return path
