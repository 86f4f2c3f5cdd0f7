"""GeoJSON as QuPath reads it: detections as points; hotspots, tissue, unreadable areas and ink as annotations.

QuPath's rules (QuPathTypeAdapters.java): an id must be a UUID, measurements are an object of numbers, metadata an
object of strings, coordinates are level-0 px from the top left. QuPath's top left is the slide's `origin`: it cuts the
empty frame away that MIRAX and some other formats have around what was scanned.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scanner.detections.detection import ID_NAMESPACE, Detection
from scanner.detections.hotspots import Hotspot
from scanner.files.atomic import write_text
from scanner.geometry.areas import rings_from_boxes, rings_from_mask
from scanner.geometry.frames import Box, Frame
from scanner.geometry.windows import Shape
from scanner.survey.masks import RIM_CLASS
from scanner.survey.tissue import Mask, TissueMask

if TYPE_CHECKING:  # The service writes features without a scan, and without torch.
    from scanner.result import ScanResult

Feature = dict[str, Any]
#: Corners x, y; the last is the first.
Ring = list[list[float]]

DETECTION_COLOUR = [200, 0, 0]
BORDER_COLOUR = [230, 150, 0]
HOTSPOT_COLOUR = [0, 90, 200]
#: Corners of a polygon that stands for a circle: its area is less by 0.04 %.
CIRCLE_CORNERS = 128


class Region(NamedTuple):
    """What an annotation is called, and its colour."""

    name: str
    colour: list[int]


TISSUE = Region("Tissue", [70, 70, 90])
RIM = Region(RIM_CLASS, [170, 170, 190])
UNREADABLE = Region("Unreadable", [120, 120, 120])
INK = Region("Ink", [40, 40, 130])


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
    _write(path, (_detection_feature(detection, origin, dict(metadata or {})) for detection in detections))


def write_regions(path: Path, result: ScanResult, *, origin: tuple[int, int] = (0, 0)) -> None:
    """Write a FeatureCollection: hotspots, tissue, what could not be read, and ink; `origin` as for detections.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    features = []
    for rank, hotspot in enumerate(result.hotspots, start=1):
        ring = (
            _circle(hotspot.box, result.frame, origin)
            if hotspot.shape is Shape.CIRCLE
            else _corners(hotspot.box, origin)
        )
        features.append(_hotspot_feature(rank, hotspot, ring))
    tissue = result.tissue
    tissue_mm2 = {"Area mm^2": round(tissue.area_mm2, 6)}
    features += _mask_features(tissue, tissue.is_tissue, TISSUE, origin, tissue_mm2)
    unreadable = rings_from_boxes([result.frame.level0_box_from_map(box) for box in result.unreadable])
    if unreadable:
        polygons = [[_closed((ring - origin)[:, ::-1].tolist()) for ring in rings] for rings in unreadable]
        features.append(_region_feature(polygons, UNREADABLE))
    if tissue.is_ink is not None:
        features += _mask_features(tissue, tissue.is_ink, INK, origin, {"Area mm^2": round(tissue.ink_mm2, 6)})
    _write(path, features)


def write_tissue(path: Path, tissue: TissueMask, *, origin: tuple[int, int] = (0, 0)) -> None:
    """Write the tissue, and the rim that is scanned around it, as polygons that `scanner.survey.masks` reads back.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    features = _mask_features(tissue, tissue.is_tissue, TISSUE, origin, {"Area mm^2": round(tissue.area_mm2, 6)})
    rim = tissue.values & ~tissue.is_tissue
    features += _mask_features(tissue, rim, RIM, origin, {"Area mm^2": round(tissue.area_of(rim), 6)})
    _write(path, features)


def _detection_feature(detection: Detection, origin: tuple[int, int], metadata: dict[str, str]) -> Feature:
    name, (top, left) = detection.label.capitalize(), origin
    region = Region(f"{name}: border", BORDER_COLOUR) if detection.border else Region(name, DETECTION_COLOUR)
    place = detection.col - left, detection.row - top
    return point_feature(detection.id, place, region, measurements=_measurements(detection), metadata=metadata)


def point_feature(
    identity: str,
    place: tuple[float, float],
    region: Region,
    *,
    measurements: dict[str, float],
    metadata: dict[str, str],
) -> Feature:
    """A detection at (x, y), in level-0 px from QuPath's top left."""
    properties = {
        "objectType": "detection",
        "classification": {"name": region.name, "color": region.colour},
        "measurements": measurements,
        "metadata": metadata,
    }
    point = {"type": "Point", "coordinates": [round(place[0], 3), round(place[1], 3)]}
    return {"type": "Feature", "id": identity, "geometry": point, "properties": properties}


def _measurements(detection: Detection) -> dict[str, float]:
    found = {"Score": float(f"{detection.score:.9g}")}
    if detection.raw_score is not None:
        found["Raw score"] = float(f"{detection.raw_score:.9g}")
    return found


def _hotspot_feature(rank: int, hotspot: Hotspot, ring: Ring) -> Feature:
    measurements = {
        "Count": hotspot.count,
        "Area mm^2": round(hotspot.area_mm2, 6),
        "Tissue mm^2": round(hotspot.tissue_mm2, 6),
        "Per mm^2": round(hotspot.per_mm2, 6),
    }
    return _region_feature([[ring]], Region(f"Hotspot {rank}", HOTSPOT_COLOUR), measurements)


def _mask_features(
    tissue: TissueMask, cells: Mask, region: Region, origin: tuple[int, int], measurements: dict[str, float]
) -> list[Feature]:
    """The islands of a mask as one annotation, cut off at the slide's border; nothing for an empty mask."""
    frame, cell_px = tissue.frame, tissue.mask_mpp / tissue.frame.level0_mpp
    end = frame.level0_height, frame.level0_width
    polygons = [
        [_closed((np.minimum(ring * cell_px, end) - origin)[:, ::-1].tolist()) for ring in rings]
        for rings in rings_from_mask(cells)
    ]
    return [_region_feature(polygons, region, measurements)] if polygons else []


def _corners(box: Box, origin: tuple[int, int]) -> Ring:
    top, left, bottom, right = box.shifted(-origin[0], -origin[1])
    return _closed([[left, top], [right, top], [right, bottom], [left, bottom]])


def _circle(box: Box, frame: Frame, origin: tuple[int, int]) -> Ring:
    """The circle that fills a box, in CIRCLE_CORNERS corners; of the part beyond the slide nothing but its border."""
    turns = np.arange(CIRCLE_CORNERS) * 2 * np.pi / CIRCLE_CORNERS
    xs = (box.left + box.right) / 2 + box.width / 2 * np.cos(turns)
    ys = (box.top + box.bottom) / 2 + box.height / 2 * np.sin(turns)
    xs, ys = xs.clip(0, frame.level0_width), ys.clip(0, frame.level0_height)
    corners = np.stack([xs - origin[1], ys - origin[0]], axis=1)
    is_new = (corners != np.roll(corners, 1, axis=0)).any(axis=1)
    return _closed(corners[is_new].tolist())


def _closed(corners: list[list[float]]) -> Ring:
    """Corners x, y, whole numbers where they are; the first once more at the end."""
    plain = [[_plain(x), _plain(y)] for x, y in corners]
    return [*plain, plain[0]]


def _plain(coordinate: float) -> float:
    rounded = round(coordinate, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _region_feature(
    polygons: list[list[Ring]], region: Region, measurements: dict[str, float] | None = None
) -> Feature:
    """An annotation; polygons are outlines, each with its holes."""
    properties = {
        "objectType": "annotation",
        "name": region.name,
        "classification": {"name": region.name, "color": region.colour},
        "color": region.colour,
        "isLocked": True,
        "measurements": measurements or {},
    }
    if len(polygons) == 1:
        return _feature({"type": "Polygon", "coordinates": polygons[0]}, properties)
    return _feature({"type": "MultiPolygon", "coordinates": polygons}, properties)


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> Feature:
    content = json.dumps([geometry, properties], sort_keys=True)
    identity = str(uuid.uuid5(ID_NAMESPACE, content))
    return {"type": "Feature", "id": identity, "geometry": geometry, "properties": properties}


def _write(path: Path, features: Iterable[Feature]) -> None:
    write_text(path, collection_text(features))


def collection_text(features: Iterable[Feature]) -> str:
    """A FeatureCollection, one feature a line."""
    lines = ",\n".join(json.dumps(feature, allow_nan=False) for feature in features)
    return f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n'
