"""GeoJSON as programs write it, for masks and for labels alike: what has no geometry is left out, and said."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanner.errors import MaskError, SettingsError
from scanner.geometry.areas import areas_from_geojson
from scanner.labels.qupath import read_qupath

CLASSES = ("background", "cell")
SQUARE = [[0, 0], [10, 0], [10, 20], [0, 20], [0, 0]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE]}
HIGH = {"type": "Polygon", "coordinates": [[[*corner, 7.5] for corner in SQUARE]]}


def feature(geometry: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}, **more}


@pytest.mark.parametrize(
    "empty",
    [
        feature(None),
        {"type": "Feature", "properties": {}},
        feature({}),
        feature({"type": "Polygon", "coordinates": []}),
        feature({"type": "MultiPolygon", "coordinates": []}),
        feature({"type": "Point", "coordinates": []}),
        feature({"type": "GeometryCollection", "geometries": []}),
        feature({"type": "GeometryCollection", "geometries": [None]}),
        feature(None, properties=None),
    ],
)
def test_a_feature_without_geometry_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, empty: dict[str, Any]
) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [empty, feature(POLYGON)]}))
    with caplog.at_level(logging.WARNING):
        (area,) = areas_from_geojson(path.read_bytes(), path)
        (mark,) = read_qupath(path, CLASSES)
    assert area.polygons[0][0].tolist() == [[0, 0], [0, 10], [20, 10], [20, 0]]
    assert mark.centre == (9.5, 4.5)
    assert [record.getMessage() for record in caplog.records] == [f"{path}: 1 without geometry ignored: feature 1"] * 2


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: {"type": "FeatureCollection", "features": [one]},
        lambda one: [one],
        lambda one: one,
        lambda one: one["geometry"],
        lambda one: [{"type": "FeatureCollection", "features": [one]}],
        lambda one: one | {"properties": None},
    ],
)
@pytest.mark.parametrize(
    "geometry",
    [
        POLYGON,
        HIGH,
        {"type": "MultiPolygon", "coordinates": [[SQUARE]]},
        {"type": "MultiPolygon", "coordinates": [[], [SQUARE]]},
        {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": [HIGH]}]},
        {
            "type": "GeometryCollection",
            "geometries": [POLYGON, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}],
        },
    ],
)
def test_polygons_are_found_wherever_they_stand(tmp_path: Path, wrap: Any, geometry: dict[str, Any]) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(wrap(feature(geometry))))
    (area,) = areas_from_geojson(path.read_bytes(), path)
    assert [ring.tolist() for ring in area.polygons[0]] == [[[0, 0], [0, 10], [20, 10], [20, 0]]]
    (mark,) = read_qupath(path, CLASSES)
    assert mark.centre == (9.5, 4.5)


@pytest.mark.parametrize(
    ("geometry", "places"),
    [
        ({"type": "Point", "coordinates": [3, 4]}, [(4, 3)]),
        ({"type": "Point", "coordinates": [3, 4, 5]}, [(4, 3)]),
        ({"type": "MultiPoint", "coordinates": [[3, 4], [5, 6]]}, [(4, 3), (6, 5)]),
        (
            {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [3, 4]}, POLYGON]},
            [(4, 3), (9.5, 4.5)],
        ),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, []),
    ],
)
def test_points_and_polygons_are_marks_and_lines_are_none(
    tmp_path: Path, geometry: dict[str, Any], places: list[tuple[float, float]]
) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature(geometry)]))
    assert [mark.centre for mark in read_qupath(path, CLASSES)] == places


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_a_mask_is_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(feature(POLYGON, properties={"name": "Ü"}), ensure_ascii=False), encoding=encoding)
    (area,) = areas_from_geojson(path.read_bytes(), path)
    assert area.name == "Ü"
    np.testing.assert_array_equal(area.polygons[0][0][2], (20, 10))


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, r"feature 2 \(b\): a ring needs three corners"),
        ({"type": "Polygon", "coordinates": [["a", "b", "c", "d"]]}, r"feature 2 \(b\): its coordinates are no"),
        ({"type": "Polygon", "coordinates": 3}, r"feature 2 \(b\): its coordinates are no"),
        ("Polygon", r"feature 2 \(b\): its geometry is not an object"),
    ],
)
def test_a_bad_geometry_is_refused_by_its_feature(tmp_path: Path, geometry: Any, said: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature(POLYGON), feature(geometry, id="b")]))
    with pytest.raises(MaskError, match=rf"a\.geojson: .*{said}"):
        areas_from_geojson(path.read_bytes(), path)
    with pytest.raises(SettingsError, match=rf"a\.geojson .*{said}"):
        read_qupath(path, CLASSES)
