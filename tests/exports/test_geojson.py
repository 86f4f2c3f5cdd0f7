import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanner.detections.detection import Detection
from scanner.detections.hotspots import Hotspot
from scanner.exports.geojson import write_detections, write_regions, write_tissue
from scanner.geometry.frames import Box, Frame
from scanner.geometry.windows import Shape
from scanner.result import ScanResult
from scanner.survey.masks import restrict
from scanner.survey.tissue import TissueMask, full_tissue
from tests.factories.qupath import draw, read_features

FOUND = Detection(row=40.5, col=81.25, row_um=10.1, col_um=20.3, score=0.75, label="mitosis", border=False)


def test_detections_are_what_qupath_calls_detections(tmp_path: Path) -> None:
    write_detections(tmp_path / "a.geojson", [FOUND], metadata={"model": "mitosis-1"})
    (feature,) = read_features(tmp_path / "a.geojson")
    assert feature["geometry"] == {"type": "Point", "coordinates": [81.25, 40.5]}
    assert feature["properties"]["objectType"] == "detection"
    assert feature["properties"]["classification"] == {"name": "Mitosis", "color": [200, 0, 0]}
    assert feature["properties"]["measurements"] == {"Score": 0.75}
    assert feature["properties"]["metadata"] == {"model": "mitosis-1"}


def test_detections_on_the_border_are_another_class(tmp_path: Path) -> None:
    write_detections(tmp_path / "a.geojson", [FOUND, replace(FOUND, row=0.5, border=True)])
    names = [feature["properties"]["classification"]["name"] for feature in read_features(tmp_path / "a.geojson")]
    assert names == ["Mitosis", "Mitosis: border"]


def test_ids_are_uuids_of_place_and_class(tmp_path: Path) -> None:
    others = [replace(FOUND, **{name: value}) for name, value in (("row", 1.0), ("col", 1.0), ("label", "other"))]
    assert replace(FOUND, score=0.8).id == FOUND.id, "the last digit of a score is the machine's"
    write_detections(tmp_path / "a.geojson", [FOUND, *others])
    write_detections(tmp_path / "b.geojson", [*others, FOUND])
    ids = [feature["id"] for feature in read_features(tmp_path / "a.geojson")]
    assert ids == [FOUND.id, *(one.id for one in others)]
    assert len(set(ids)) == 4
    assert {str(uuid.UUID(identity)) for identity in ids} == set(ids)
    assert read_features(tmp_path / "b.geojson")[-1]["id"] == ids[0]


def test_no_detections_is_an_empty_collection(tmp_path: Path) -> None:
    write_detections(tmp_path / "a.geojson", [])
    assert read_features(tmp_path / "a.geojson") == []


def test_regions_are_closed_rectangles_in_level_0_pixels(tmp_path: Path, result: ScanResult) -> None:
    write_regions(tmp_path / "a.geojson", result)
    hotspot, tissue, unreadable = read_features(tmp_path / "a.geojson")
    for feature in (hotspot, unreadable):
        (ring,) = feature["geometry"]["coordinates"]
        assert len(ring) == 5
        assert ring[0] == ring[-1]
        assert feature["properties"]["objectType"] == "annotation"
    box = result.hotspots[0].box
    assert hotspot["geometry"]["coordinates"][0][0] == [box.left, box.top]
    assert hotspot["properties"]["measurements"]["Count"] == result.hotspots[0].count
    assert hotspot["properties"]["measurements"]["Area mm^2"] == pytest.approx(0.003, rel=0.01)
    assert tissue["properties"]["measurements"]["Area mm^2"] == pytest.approx(result.tissue.area_mm2, abs=1e-6)
    # Map rows 96 to 128 and columns 32 to 64, of 4 level-0 px each.
    assert unreadable["geometry"]["coordinates"][0][:3] == [[128, 384], [256, 384], [256, 512]]


def corners(feature: dict[str, Any]) -> np.ndarray:
    coordinates = feature["geometry"]["coordinates"]
    polygons = coordinates if feature["geometry"]["type"] == "MultiPolygon" else [coordinates]
    return np.array([corner for rings in polygons for ring in rings for corner in ring])


def test_places_count_from_what_qupath_shows_as_top_left(tmp_path: Path, result: ScanResult) -> None:
    write_detections(tmp_path / "a.geojson", [FOUND], origin=(30, 80))
    (feature,) = read_features(tmp_path / "a.geojson")
    assert feature["geometry"]["coordinates"] == [1.25, 10.5]
    write_regions(tmp_path / "here.geojson", result)
    write_regions(tmp_path / "there.geojson", result, origin=(30, 80))
    for here, there in zip(
        read_features(tmp_path / "here.geojson"), read_features(tmp_path / "there.geojson"), strict=True
    ):
        np.testing.assert_array_equal(corners(there), corners(here) - [80, 30])


def odd_tissue(frame: Frame) -> TissueMask:
    """Islands, holes, cells that touch in a corner, and all of that up to the border."""
    rng = np.random.default_rng(0)
    whole = full_tissue(frame)
    values = rng.random(whole.values.shape) < 0.7
    return TissueMask(values, values & (rng.random(values.shape) < 0.8), whole.mask_mpp, frame)


@pytest.mark.parametrize("mpp", [0.25, 0.499, 3.0])
@pytest.mark.parametrize("origin", [(0, 0), (30, 80)])
def test_tissue_comes_back_as_it_went(tmp_path: Path, mpp: float, origin: tuple[int, int]) -> None:
    tissue = odd_tissue(Frame(401, 603, mpp, 0.25, 4))
    write_tissue(tmp_path / "tissue.geojson", tissue, origin=origin)
    read_features(tmp_path / "tissue.geojson")
    for before in (tissue, full_tissue(tissue.frame)):
        found = restrict(before, tmp_path / "tissue.geojson", origin=origin)
        np.testing.assert_array_equal(found.values, tissue.values)
        np.testing.assert_array_equal(found.is_tissue, tissue.is_tissue)


def test_no_tissue_comes_back_as_none(tmp_path: Path) -> None:
    frame = Frame(401, 603, 0.25, 0.25, 4)
    nothing = np.zeros_like(full_tissue(frame).values)
    write_tissue(tmp_path / "tissue.geojson", TissueMask(nothing, nothing, 8.0, frame))
    assert read_features(tmp_path / "tissue.geojson") == []
    assert restrict(full_tissue(frame), tmp_path / "tissue.geojson").scanned_mm2 == 0


def test_tissue_lies_on_the_slide_where_another_program_draws_it(tmp_path: Path, result: ScanResult) -> None:
    write_tissue(tmp_path / "tissue.geojson", result.tissue)
    tissue, rim = read_features(tmp_path / "tissue.geojson")
    assert [feature["properties"]["name"] for feature in (tissue, rim)] == ["Tissue", "Scanned rim"]
    expected = np.kron(result.tissue.is_tissue, np.ones((32, 32), bool))[:600, :900]
    drawn = draw([tissue], (600, 900))
    Image.fromarray(drawn ^ expected).save(tmp_path / "difference.png")
    assert (drawn ^ expected).mean() < 0.02  # PIL draws outlines as well.


def test_a_circle_is_a_circle(tmp_path: Path, result: ScanResult) -> None:
    circle = Hotspot(Box(100, 200, 300, 400), 1.0, 1.0, 3, 3.0, 3.0, Shape.CIRCLE)
    write_regions(tmp_path / "a.geojson", replace(result, hotspots=(circle,)))
    feature = read_features(tmp_path / "a.geojson")[0]
    distances = np.hypot(*(corners(feature) - [300, 200]).T)
    np.testing.assert_allclose(distances, 100, atol=2e-3)  # Coordinates have three decimals.


def test_a_circle_beyond_the_slide_ends_with_it(tmp_path: Path, result: ScanResult) -> None:
    circle = Hotspot(Box(-100, 500, 500, 1100), 1.0, 1.0, 3, 3.0, 3.0, Shape.CIRCLE)
    write_regions(tmp_path / "a.geojson", replace(result, hotspots=(circle,)))
    feature = read_features(tmp_path / "a.geojson")[0]
    rows, cols = np.mgrid[:600, :900] + 0.5
    expected = np.hypot(rows - 200, cols - 800) <= 300
    assert (draw([feature], (600, 900)) ^ expected).mean() < 0.01
    assert corners(feature).min() >= 0
    assert (corners(feature).max(axis=0) <= (900, 600)).all()
