"""QuPath's rules for GeoJSON, as its QuPathTypeAdapters.java has them: what breaks them is dropped or misread."""

from __future__ import annotations

import json
import math
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

OBJECT_TYPES = {"annotation", "detection", "tile", "cell", "tma_core"}
PROPERTIES = {"objectType", "name", "color", "classification", "isLocked", "measurements", "metadata"}


def read_features(path: Path) -> list[dict[str, Any]]:
    """The features of a file, each of which QuPath would take as it is."""
    collection = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    assert collection.keys() == {"type", "features"}
    assert collection["type"] == "FeatureCollection"
    features = list(collection["features"])
    for feature in features:
        _check_feature(feature)
    assert len({feature["id"] for feature in features}) == len(features), "an id is there twice"
    return features


def draw(features: list[dict[str, Any]], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels whose centres lie in the polygons: PIL's fill, which knows nothing of ours."""
    drawn = np.zeros(shape, np.bool_)
    for feature in features:
        geometry = feature["geometry"]
        polygons = {"Polygon": lambda g: [g["coordinates"]], "MultiPolygon": lambda g: g["coordinates"]}
        for rings in polygons[geometry["type"]](geometry):
            layer = Image.new("1", shape[::-1])
            for fill, ring in zip([1] + [0] * len(rings), rings, strict=False):
                # PIL counts pixel centres as whole numbers, and fills the outline as well.
                ImageDraw.Draw(layer).polygon([(x - 0.5, y - 0.5) for x, y in ring], fill=fill)
            drawn |= np.asarray(layer)
    return drawn


def _check_feature(feature: dict[str, Any]) -> None:
    assert feature.keys() == {"type", "id", "geometry", "properties"}
    assert feature["type"] == "Feature"
    assert str(uuid.UUID(feature["id"])) == feature["id"]
    properties = feature["properties"]
    assert properties.keys() <= PROPERTIES
    assert properties["objectType"] in OBJECT_TYPES
    assert isinstance(properties.get("name", ""), str)
    for coloured in (properties, properties.get("classification", {})):
        _check_colour(coloured.get("color", [0, 0, 0]))
    if "classification" in properties:
        assert properties["classification"].keys() == {"name", "color"}
        assert isinstance(properties["classification"]["name"], str)
    for name, value in properties.get("measurements", {}).items():
        assert isinstance(name, str)
        assert isinstance(value, int | float), name
        assert math.isfinite(value), name
    assert all(isinstance(value, str) for value in properties.get("metadata", {}).values())
    _check_geometry(feature["geometry"])


def _check_colour(colour: list[int]) -> None:
    assert len(colour) == 3
    assert all(isinstance(part, int) and 0 <= part <= 255 for part in colour)


def _check_geometry(geometry: dict[str, Any]) -> None:
    assert geometry.keys() == {"type", "coordinates"}
    if geometry["type"] == "Point":
        _check_place(geometry["coordinates"])
        return
    assert geometry["type"] in ("Polygon", "MultiPolygon")
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    assert polygons
    for rings in polygons:
        for ring in rings:
            assert len(ring) >= 4
            assert ring[0] == ring[-1], "a ring must be closed"
            for place in ring:
                _check_place(place)
        # Outlines and holes turn opposite ways: clockwise to the eye, as y runs down.
        outer, *holes = (_area(ring) for ring in rings)
        assert outer > 0
        assert all(hole < 0 for hole in holes)


def _check_place(place: list[float]) -> None:
    assert len(place) == 2
    assert all(isinstance(part, int | float) and math.isfinite(part) for part in place)


def _area(ring: list[list[float]]) -> float:
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring)) / 2


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
