"""QuPath's GeoJSON: annotations and detections of one image, as *File > Export objects as GeoJSON* writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanner.errors import SettingsError
from scanner.training.labels.naming import class_of
from scanner.training.labels.shapes import Mark, Ring, mark_of_rings


def read_qupath(path: Path, classes: Sequence[str]) -> tuple[Mark, ...]:
    """The objects of a file, each by its classification; lines are left out.

    Raises
    ------
    SettingsError
        It is no GeoJSON, or has a class that the model has not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        features = content if isinstance(content, list) else content.get("features", [content])
        return tuple(mark for feature in features for mark in _marks(feature, classes, str(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{path} is no GeoJSON of QuPath: {error}") from error


def _marks(feature: dict[str, Any], classes: Sequence[str], source: str) -> Iterator[Mark]:
    geometry = feature["geometry"]
    kind = class_of(_class_name(feature.get("properties") or {}), classes, source=source)
    coordinates = geometry["coordinates"]
    if geometry["type"] == "Point":
        yield Mark(kind, _place(coordinates))
    elif geometry["type"] == "MultiPoint":
        yield from (Mark(kind, _place(place)) for place in coordinates)
    elif geometry["type"] == "Polygon":
        yield mark_of_rings(kind, [_ring(ring) for ring in coordinates])
    elif geometry["type"] == "MultiPolygon":
        yield from (mark_of_rings(kind, [_ring(ring) for ring in polygon]) for polygon in coordinates)


def _class_name(properties: dict[str, Any]) -> str:
    classification = properties.get("classification") or {}
    if isinstance(classification, str):
        return classification
    names = classification.get("names") or [classification.get("name", "")]
    return ": ".join(str(name) for name in names if name)


def _place(pair: Sequence[float]) -> tuple[float, float]:
    return float(pair[1]), float(pair[0])


def _ring(pairs: Sequence[Sequence[float]]) -> Ring:
    ring = np.array([(float(pair[1]), float(pair[0])) for pair in pairs])
    if ring.ndim != 2 or len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("an outline has fewer than three corners, or one that is no number")
    return ring[:-1] if (ring[0] == ring[-1]).all() else ring
