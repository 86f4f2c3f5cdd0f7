"""GeoJSON as QuPath reads it: detections as points, hotspots and unreadable areas as rectangles.

QuPath's rules (QuPathTypeAdapters.java): an id must be a UUID, measurements are an object of numbers, metadata an
object of strings, coordinates are level-0 px from the top left. QuPath's top left is the slide's `origin`: it cuts the
empty frame away that MIRAX and some other formats have around what was scanned.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scanner.detections import Detection
from scanner.exports.atomic import write_text
from scanner.geometry import Box
from scanner.hotspots import Hotspot
from scanner.result import ScanResult

Feature = dict[str, Any]

#: Ids are made from what a feature says, so that a second scan gives the same file.
ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://mitoscan.invalid/feature")

DETECTION_COLOUR = [200, 0, 0]
BORDER_COLOUR = [230, 150, 0]
HOTSPOT_COLOUR = [0, 90, 200]
UNREADABLE_COLOUR = [120, 120, 120]


def write_detections(
    path: Path,
    detections: Iterable[Detection],
    *,
    origin: tuple[int, int] = (0, 0),
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a FeatureCollection of one point per detection, in the order given.

    Parameters
    ----------
    path : Path
        Usually `detections.geojson`.
    detections : iterable of Detection
        Those on the slide's true border get a class of their own, e.g. "Mitosis: border": QuPath does not count them
        as "Mitosis".
    origin : tuple
        Level-0 (row, col) of QuPath's top left; see `Slide.origin`.
    metadata : mapping, optional
        Strings that every feature carries, e.g. the model's name.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    top, left = origin
    shown = (replace(detection, row=detection.row - top, col=detection.col - left) for detection in detections)
    _write(path, (_detection_feature(detection, dict(metadata or {})) for detection in shown))


def write_regions(path: Path, result: ScanResult, *, origin: tuple[int, int] = (0, 0)) -> None:
    """Write a FeatureCollection of rectangles: the hotspots, and what could not be read; `origin` as for detections.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    top, left = origin
    hotspots = [replace(hotspot, box=hotspot.box.shifted(-top, -left)) for hotspot in result.hotspots]
    features = [_hotspot_feature(rank, hotspot) for rank, hotspot in enumerate(hotspots, start=1)]
    unreadable = (result.frame.level0_box_from_map(box).shifted(-top, -left) for box in result.unreadable)
    features += [_region_feature(box, "Unreadable", UNREADABLE_COLOUR, {}) for box in unreadable]
    _write(path, features)


def _detection_feature(detection: Detection, metadata: dict[str, str]) -> Feature:
    name = detection.label.capitalize()
    point = {"type": "Point", "coordinates": [round(detection.col, 3), round(detection.row, 3)]}
    properties = {
        "objectType": "detection",
        "classification": (
            {"name": f"{name}: border", "color": BORDER_COLOUR}
            if detection.border
            else {"name": name, "color": DETECTION_COLOUR}
        ),
        "measurements": {"Score": float(f"{detection.score:.9g}")},
        "metadata": metadata,
    }
    return _feature(point, properties)


def _hotspot_feature(rank: int, hotspot: Hotspot) -> Feature:
    measurements = {
        "Count": hotspot.count,
        "Area mm^2": round(hotspot.area_mm2, 6),
        "Tissue mm^2": round(hotspot.tissue_mm2, 6),
        "Per mm^2": round(hotspot.per_mm2, 6),
    }
    return _region_feature(hotspot.box, f"Hotspot {rank}", HOTSPOT_COLOUR, measurements)


def _region_feature(box: Box, name: str, colour: list[int], measurements: dict[str, float]) -> Feature:
    corners = [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]
    polygon = {"type": "Polygon", "coordinates": [[list(corner) for corner in [*corners, corners[0]]]]}
    properties = {
        "objectType": "annotation",
        "name": name,
        "color": colour,
        "isLocked": True,
        "measurements": measurements,
    }
    return _feature(polygon, properties)


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> Feature:
    content = json.dumps([geometry, properties], sort_keys=True)
    identity = str(uuid.uuid5(ID_NAMESPACE, content))
    return {"type": "Feature", "id": identity, "geometry": geometry, "properties": properties}


def _write(path: Path, features: Iterable[Feature]) -> None:
    lines = ",\n".join(json.dumps(feature, allow_nan=False) for feature in features)
    write_text(path, f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n')
