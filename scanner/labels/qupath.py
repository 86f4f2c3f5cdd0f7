"""QuPath's GeoJSON: annotations and detections of one image, as *File > Export objects as GeoJSON* writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from scanner.errors import SettingsError
from scanner.files.texts import read_text
from scanner.geometry.features import Feature, features_of, shapes_of
from scanner.labels.naming import class_of
from scanner.labels.shapes import Mark, mark_of_rings


def read_qupath(path: Path, classes: Sequence[str]) -> tuple[Mark, ...]:
    """The objects of a file, each by its classification; lines, and features without geometry, are left out.

    Raises
    ------
    SettingsError
        It is no GeoJSON, or has a class that the model has not; names the feature.
    """
    text = read_text(path)
    try:
        features = features_of(json.loads(text), str(path))
        return tuple(mark for feature in features for mark in _marks(feature, classes, path))
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{path} is not GeoJSON as QuPath writes it: {error}") from error


def _marks(feature: Feature, classes: Sequence[str], path: Path) -> Iterator[Mark]:
    where = f"{path}, {feature.where}"
    shapes = shapes_of(feature, is_lenient=True)
    if not (shapes.points or shapes.polygons):
        return
    kind = class_of(feature.class_name, classes, source=f"{where},")
    yield from (Mark(kind, place, where=where) for place in shapes.points)
    yield from (mark_of_rings(kind, rings, where=where) for rings in shapes.polygons)
