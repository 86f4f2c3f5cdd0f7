"""GeoJSON as programs write it: its features, and the points and polygons in their geometries."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: (n, 2): row and column of its corners, in px from the top left; the first is not repeated.
Ring = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feature:
    """A geometry with its properties."""

    #: Which one of the file, for messages.
    where: str
    properties: dict[str, Any]
    geometry: dict[str, Any]

    @property
    def class_name(self) -> str:
        """Its classification, as QuPath shows it; empty if it has none."""
        classification = self.properties.get("classification") or {}
        if not isinstance(classification, dict):
            return str(classification)
        names = classification.get("names") or [classification.get("name", "")]
        return ": ".join(str(name) for name in names if name)


@dataclass(frozen=True)
class Shapes:
    """What a geometry draws."""

    #: (row, col) of points.
    points: tuple[tuple[float, float], ...]
    #: Each polygon is its outline, then its holes.
    polygons: tuple[tuple[Ring, ...], ...]


def features_of(parsed: Any, source: str) -> list[Feature]:
    """The features of a FeatureCollection, a list, a Feature or a geometry.

    Those without geometry, or with an empty one, are left out, and the log says so.

    Raises
    ------
    ValueError
        It is no GeoJSON; says what is in its place.
    """
    found = [
        Feature(_name(number, entry), _properties(entry), _geometry(entry))
        for number, entry in enumerate(_entries(parsed), start=1)
    ]
    kept = [feature for feature in found if not _is_empty(feature.geometry)]
    if left_out := [feature.where for feature in found if feature not in kept]:
        more = ", ..." if len(left_out) > 3 else ""
        _log.warning("%s: %d without geometry ignored: %s%s", source, len(left_out), ", ".join(left_out[:3]), more)
    return kept


def shapes_of(feature: Feature, *, is_lenient: bool = False) -> Shapes:
    """The points and polygons of a feature; lines are none.

    Parameters
    ----------
    feature : Feature
    is_lenient : bool
        Take rings whose first corner does not stand at the end once more, too.

    Raises
    ------
    ValueError
        Coordinates are no numbers, or a ring is not closed; names the feature.
    """
    points: list[tuple[float, float]] = []
    polygons: list[tuple[Ring, ...]] = []
    try:
        for geometry in _parts(feature.geometry):
            kind, coordinates = geometry["type"], geometry["coordinates"]
            places = {"Point": [coordinates], "MultiPoint": coordinates}.get(kind, [])
            points += [_place(place) for place in places]
            drawn = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(kind, [])
            polygons += [
                tuple(_ring(corners, is_lenient=is_lenient) for corners in rings if corners)
                for rings in drawn
                if rings and rings[0]
            ]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        reason = str(error) if type(error) is ValueError else "its coordinates are not lists of numbers"
        raise ValueError(f"{feature.where}: {reason}") from error
    return Shapes(tuple(points), tuple(polygons))


def _entries(parsed: Any) -> Iterator[dict[str, Any]]:
    """Every Feature and bare geometry."""
    if isinstance(parsed, list):
        for entry in parsed:
            yield from _entries(entry)
    elif not isinstance(parsed, dict):
        raise ValueError(f"a {type(parsed).__name__} is not a feature")  # noqa: TRY004  (it is about a file)
    elif "features" in parsed:
        yield from _entries(parsed["features"])
    else:
        yield parsed


def _name(number: int, entry: dict[str, Any]) -> str:
    own = entry.get("id")
    return f"feature {number}" + (f" ({own})" if isinstance(own, str | int) and str(own) else "")


def _properties(entry: dict[str, Any]) -> dict[str, Any]:
    properties = entry.get("properties")
    return properties if isinstance(properties, dict) else {}


def _geometry(entry: dict[str, Any]) -> dict[str, Any]:
    """The geometry of an entry, which may be one itself; empty if it has none."""
    if "geometry" in entry:
        return entry["geometry"] or {}
    if entry.get("type") == "Feature":
        return {}
    if "coordinates" not in entry and "geometries" not in entry:
        raise ValueError(f"{_name(1, entry)} is neither a feature nor a geometry")
    return entry


def _is_empty(geometry: Any) -> bool:
    if not isinstance(geometry, dict):
        return False  # Refused where it is read.
    return not any(part.get("coordinates") for part in _parts(geometry))


def _parts(geometry: Any) -> Iterator[dict[str, Any]]:
    """A geometry, or those of a collection, that have coordinates."""
    if not isinstance(geometry, dict):
        raise ValueError("its geometry is not an object")  # noqa: TRY004  (it is about a file)
    if geometry.get("type") == "GeometryCollection":
        for part in geometry.get("geometries") or ():
            yield from _parts(part or {})
    elif geometry.get("coordinates"):
        yield geometry


def _place(place: Sequence[Any]) -> tuple[float, float]:
    """x, y, and perhaps a height that nobody needs, as row and column."""
    row, col = float(place[1]), float(place[0])
    if not (math.isfinite(row) and math.isfinite(col)):
        raise ValueError("a coordinate is not a number")
    return row, col


def _ring(corners: Sequence[Sequence[Any]], *, is_lenient: bool) -> Ring:
    """Corners x, y as rows and columns."""
    ring = np.array([(float(corner[1]), float(corner[0])) for corner in corners], np.float64)
    if not np.isfinite(ring).all():
        raise ValueError("a ring needs three corners whose coordinates are numbers")
    is_closed = len(ring) > 1 and bool((ring[0] == ring[-1]).all())
    if len(ring) < 3 + is_closed or not (is_closed or is_lenient):
        raise ValueError("a ring needs three corners, and the first one repeated at the end")
    return ring[:-1] if is_closed else ring
