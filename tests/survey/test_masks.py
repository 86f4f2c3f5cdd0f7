"""Laws of masks: which cells a drawing or a picture covers, and that our own tissue comes back as it went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scanner.errors import MaskError
from scanner.geometry.areas import rings_from_boxes, rings_from_mask
from scanner.geometry.frames import Box, Frame
from scanner.survey.mask_files import describe_mask, find_mask
from scanner.survey.masks import restrict
from scanner.survey.tissue import TissueMask, full_tissue

#: 320 x 330 px of 1 um: 40 x 42 cells of 8 um, the last column of 2 px.
FRAME = Frame(320, 330, level0_mpp=1.0, grid_mpp=1.0, stride=1)
WHOLE = full_tissue(FRAME)


def polygon(*rings: list[tuple[float, float]], name: str | None = None) -> dict[str, Any]:
    """A feature; corners are x, y, the first not repeated."""
    coordinates = [[*map(list, ring), list(ring[0])] for ring in rings]
    properties = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": coordinates}, "properties": properties}


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def cells(path: Path, **options: Any) -> np.ndarray:
    return restrict(WHOLE, path, **options).values


@pytest.mark.parametrize(
    "wrap",
    [
        lambda feature: {"type": "FeatureCollection", "features": [feature]},
        lambda feature: feature,
        lambda feature: [feature],
        lambda feature: feature["geometry"],
        lambda feature: {"type": "MultiPolygon", "coordinates": [feature["geometry"]["coordinates"]]},
        lambda feature: {"type": "GeometryCollection", "geometries": [feature["geometry"]]},
    ],
)
def test_a_polygon_with_a_hole_covers_what_is_between(tmp_path: Path, wrap: Any) -> None:
    feature = polygon(box(16, 8, 80, 72), box(32, 24, 48, 40))
    expected = np.zeros((40, 42), bool)
    expected[1:9, 2:10] = True
    expected[3:5, 4:6] = False
    np.testing.assert_array_equal(cells(save(tmp_path / "a.geojson", wrap(feature))), expected)


#: Anywhere; or on the centres and edges of cells, where it matters to which side a corner belongs.
PLACES = st.one_of(st.floats(-50, 400), st.integers(-5, 90).map(lambda step: step * 4.0))


@given(st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=8))
def test_a_cell_belongs_if_its_centre_does(corners: list[tuple[float, float]]) -> None:
    path = save(Path(_scratch()) / "a.geojson", polygon(corners))
    expected = np.zeros((40, 42), bool)
    for row in range(40):
        for col in range(42):
            expected[row, col] = _is_inside(row * 8 + 4, col * 8 + 4 if col < 41 else 329, corners)
    if expected.any():
        np.testing.assert_array_equal(cells(path), expected)
    else:
        with pytest.raises(MaskError, match="outside"):
            cells(path)


def _is_inside(y: float, x: float, corners: list[tuple[float, float]]) -> bool:
    """The textbook's ray to the left, one corner after the other."""
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        if y1 <= y < y2 and x1 + (y - y1) / (y2 - y1) * (x2 - x1) <= x:
            inside = not inside
    return inside


def _scratch() -> str:
    import tempfile

    return tempfile.mkdtemp()


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_enclose_the_mask_they_were_drawn_around(mask: np.ndarray) -> None:
    rings = rings_from_mask(mask)
    found = np.zeros_like(mask)
    for rows, cols in np.ndindex(mask.shape):
        for polygon_rings in rings:
            crossed = sum(_is_inside(rows + 0.5, cols + 0.5, [(c, r) for r, c in ring]) for ring in polygon_rings)
            found[rows, cols] |= crossed % 2 == 1
    np.testing.assert_array_equal(found, mask)
    for polygon_rings in rings:
        for ring in polygon_rings:
            assert len({tuple(corner) for corner in ring}) == len(ring)
        outer, *holes = (_area(ring) for ring in polygon_rings)
        assert outer > 0
        assert all(hole < 0 for hole in holes)
    assert sum(_area(ring) for polygon_rings in rings for ring in polygon_rings) == mask.sum()


BOXES = st.builds(
    lambda top, left, height, width: Box(top, left, top + height, left + width),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(1, 6),
    st.integers(1, 6),
)


@given(st.lists(BOXES, max_size=6))
def test_boxes_together_have_the_outlines_of_what_they_cover(boxes: list[Box]) -> None:
    covered = np.zeros((16, 16), bool)
    for box in boxes:
        covered[box.slices()] = True
    found = [[ring.tolist() for ring in rings] for rings in rings_from_boxes(boxes)]
    assert found == [[ring.tolist() for ring in rings] for rings in rings_from_mask(covered)]


def _area(ring: np.ndarray) -> float:
    after = np.roll(ring, -1, axis=0)
    return float((ring[:, 1] * after[:, 0] - after[:, 1] * ring[:, 0]).sum() / 2)


def test_a_mask_takes_tissue_away_and_adds_none(tmp_path: Path) -> None:
    is_tissue = np.zeros((40, 42), bool)
    is_tissue[:, :10] = True
    scanned = np.zeros((40, 42), bool)
    scanned[:, :14] = True
    tissue = TissueMask(scanned, is_tissue, 8.0, FRAME)
    found = restrict(tissue, save(tmp_path / "a.geojson", polygon(box(64, 0, 330, 320))))
    np.testing.assert_array_equal(np.flatnonzero(found.is_tissue[0]), [8, 9])
    np.testing.assert_array_equal(np.flatnonzero(found.values[0]), [8, 9, 10, 11, 12, 13])


def test_polygons_count_from_the_origin_that_qupath_shows(tmp_path: Path) -> None:
    path = save(tmp_path / "a.geojson", polygon(box(0, 0, 16, 16)))
    np.testing.assert_array_equal(np.argwhere(cells(path, origin=(80, 160)))[[0, -1]], [[10, 20], [11, 21]])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(40, 41), (320, 330), (639, 661), (32, 33)])
def test_a_picture_of_any_size_covers_the_slide(tmp_path: Path, suffix: str, shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[shape[0] // 2 :, : shape[1] // 2] = 1
    path = tmp_path / f"mask{suffix}"
    tifffile.imwrite(path, pixels) if suffix == ".tif" else Image.fromarray(pixels).save(path)
    found = cells(path)
    assert found.any(axis=1).nonzero()[0][0] == 20
    assert found.any(axis=0).nonzero()[0][-1] in (19, 20)  # Half of an odd width ends in cell 20, or before it.
    assert found[20:, :20].all()


def test_colours_are_scanned_and_black_and_opacity_are_not(tmp_path: Path) -> None:
    pixels = np.zeros((320, 330, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:80, :, 2] = 9
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(cells(tmp_path / "mask.png").all(axis=1).nonzero()[0], np.arange(10))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not GeoJSON"),
        (b'{"a": 1}', "not GeoJSON as QuPath writes it"),
        (b'{"type": "Point", "coordinates": [3, 4]}', "holds no polygon"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [0, 0]]]}', "three corners"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [0, 9], [1, 1]]]}', "the first one repeated"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 9], [0, 9], [0, 0]]]}', "three corners"),
        (b"", "neither GeoJSON nor a picture"),
        (b"\x89PNG\r\n\x1a\nrest", "neither GeoJSON nor a picture"),
    ],
)
def test_bad_masks_are_refused_with_their_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(content)
    with pytest.raises(MaskError, match=reason) as caught:
        cells(path)
    assert str(path) in str(caught.value)


def test_masks_of_other_slides_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((100, 200), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(MaskError, match="200 x 100 px have other proportions than the slide of 330 x 320"):
        cells(tmp_path / "mask.png")
    with pytest.raises(MaskError, match="lies outside the slide of 330 x 320"):
        cells(save(tmp_path / "a.geojson", polygon(box(1000, 1000, 2000, 2000))))
    with pytest.raises(MaskError, match="No such file"):
        cells(tmp_path / "gone.png")


def test_a_collection_of_nothing_masks_everything(tmp_path: Path) -> None:
    found = restrict(WHOLE, save(tmp_path / "a.geojson", {"type": "FeatureCollection", "features": []}))
    assert (found.area_mm2, found.scanned_mm2) == (0, 0)


def test_a_folder_holds_one_mask_per_slide(tmp_path: Path) -> None:
    slide = tmp_path / "slides" / "a.tif"
    with pytest.raises(MaskError, match=r"needs one mask for a\.tif, holds none named a\.geojson"):
        find_mask(tmp_path, slide)
    (tmp_path / "a").mkdir()
    exported = save(tmp_path / "a" / "tissue.geojson", [])
    assert find_mask(tmp_path, slide) == exported
    own = save(tmp_path / "a.geojson", [])
    with pytest.raises(MaskError, match=r"holds a\.geojson and tissue\.geojson"):
        find_mask(tmp_path, slide)
    exported.unlink()
    assert find_mask(tmp_path, slide) == own


def test_a_mask_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "a.geojson", [] if name != "three" else [polygon(box(0, 0, 9, 9))])
    one, two, three = (describe_mask(tmp_path / name / "a.geojson", Path("a.tif")) for name in ("one", "two", "three"))
    assert one == two != three
    assert describe_mask(None, Path("a.tif")) is None
