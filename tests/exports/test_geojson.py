import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.detections import Detection
from scanner.exports.geojson import write_detections, write_regions
from scanner.result import ScanResult

FOUND = Detection(row=40.5, col=81.25, row_um=10.1, col_um=20.3, score=0.75, label="mitosis", border=False)


def features(path: Path) -> list[dict[str, Any]]:
    collection = json.loads(path.read_text())
    assert collection["type"] == "FeatureCollection"
    return list(collection["features"])


def test_detections_are_what_qupath_calls_detections(tmp_path: Path) -> None:
    write_detections(tmp_path / "a.geojson", [FOUND], metadata={"model": "mitosis-1"})
    (feature,) = features(tmp_path / "a.geojson")
    assert feature["geometry"] == {"type": "Point", "coordinates": [81.25, 40.5]}
    assert feature["properties"]["objectType"] == "detection"
    assert feature["properties"]["classification"] == {"name": "Mitosis", "color": [200, 0, 0]}
    assert feature["properties"]["measurements"] == {"Score": 0.75}
    assert feature["properties"]["metadata"] == {"model": "mitosis-1"}


def test_detections_on_the_border_are_another_class(tmp_path: Path) -> None:
    write_detections(tmp_path / "a.geojson", [FOUND, replace(FOUND, border=True)])
    names = [feature["properties"]["classification"]["name"] for feature in features(tmp_path / "a.geojson")]
    assert names == ["Mitosis", "Mitosis: border"]


def test_ids_are_uuids_of_the_content(tmp_path: Path) -> None:
    others = [replace(FOUND, **{name: value}) for name, value in (("row", 1.0), ("col", 1.0), ("score", 0.8))]
    write_detections(tmp_path / "a.geojson", [FOUND, *others])
    write_detections(tmp_path / "b.geojson", [*others, FOUND])
    ids = [feature["id"] for feature in features(tmp_path / "a.geojson")]
    assert len(set(ids)) == 4
    assert {str(uuid.UUID(identity)) for identity in ids} == set(ids)
    assert features(tmp_path / "b.geojson")[-1]["id"] == ids[0]


def test_no_detections_is_an_empty_collection(tmp_path: Path) -> None:
    write_detections(tmp_path / "a.geojson", [])
    assert features(tmp_path / "a.geojson") == []


def test_regions_are_closed_rectangles_in_level_0_pixels(tmp_path: Path, result: ScanResult) -> None:
    write_regions(tmp_path / "a.geojson", result)
    hotspot, unreadable = features(tmp_path / "a.geojson")
    for feature in (hotspot, unreadable):
        (ring,) = feature["geometry"]["coordinates"]
        assert len(ring) == 5
        assert ring[0] == ring[-1]
        assert feature["properties"]["objectType"] == "annotation"
    box = result.hotspots[0].box
    assert hotspot["geometry"]["coordinates"][0][0] == [box.left, box.top]
    assert hotspot["properties"]["measurements"]["Count"] == result.hotspots[0].count
    assert hotspot["properties"]["measurements"]["Area mm^2"] == pytest.approx(0.003, rel=0.01)
    # Map rows 96 to 128 and columns 32 to 64, of 4 level-0 px each.
    assert unreadable["geometry"]["coordinates"][0][:3] == [[128, 384], [256, 384], [256, 512]]


def test_places_count_from_what_qupath_shows_as_top_left(tmp_path: Path, result: ScanResult) -> None:
    write_detections(tmp_path / "a.geojson", [FOUND], origin=(30, 80))
    (feature,) = features(tmp_path / "a.geojson")
    assert feature["geometry"]["coordinates"] == [1.25, 10.5]
    write_regions(tmp_path / "here.geojson", result)
    write_regions(tmp_path / "there.geojson", result, origin=(30, 80))
    for here, there in zip(features(tmp_path / "here.geojson"), features(tmp_path / "there.geojson"), strict=True):
        (ring,), (moved,) = here["geometry"]["coordinates"], there["geometry"]["coordinates"]
        assert moved == [[x - 80, y - 30] for x, y in ring]
