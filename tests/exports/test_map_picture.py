from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scanner.exports import map_picture
from scanner.exports.map_picture import colours_from_levels, pool_map, write_map_picture
from scanner.geometry.frames import Box, Frame
from scanner.result import ScanResult


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9))
def test_pictures_show_the_highest_value_of_each_of_their_pixels(height: int, width: int, step: int) -> None:
    frame = Frame(height * 4, width * 4, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    values = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.float32) / 255
    shape = (-(-height // step), -(-width // step))
    found = pool_map(lambda box: values[box.slices()], frame, shape, px_um=float(step))
    expected = [
        [values[row : row + step, col : col + step].max() * 255 for col in range(0, width, step)]
        for row in range(0, height, step)
    ]
    np.testing.assert_array_equal(found, np.rint(expected))


def test_bands_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(403, 300, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    values = np.random.default_rng(0).random((101, 75), np.float32)
    boxes = []

    def read(box: Box) -> np.ndarray:
        boxes.append(box)
        return values[box.slices()]

    whole = pool_map(read, frame, (37, 28), px_um=2.7)
    assert len(boxes) == 1
    monkeypatch.setattr(map_picture, "BAND_PX", 400)
    np.testing.assert_array_equal(pool_map(read, frame, (37, 28), px_um=2.7), whole)
    assert max(box.area for box in boxes[1:]) < 1000


def test_fine_pictures_repeat_the_pixels_of_the_map() -> None:
    frame = Frame(8, 8, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    values = np.array([[0, 1], [1, 0]], np.float32)
    found = pool_map(lambda box: values[box.slices()], frame, (4, 4), px_um=0.5)
    np.testing.assert_array_equal(found, np.kron(values * 255, np.ones((2, 2))))


def test_nothing_found_is_transparent_and_more_is_more_opaque() -> None:
    opacity = colours_from_levels(np.arange(256, dtype=np.uint8))[:, 3].astype(int)
    assert opacity[0] == opacity[12] == 0
    assert (np.diff(opacity) >= 0).all()
    assert opacity[255] > 128


def test_the_picture_covers_the_slide(tmp_path: Path, result: ScanResult) -> None:
    write_map_picture(tmp_path / "map.png", result.map.read, result.frame)
    with Image.open(tmp_path / "map.png") as picture:
        assert (picture.height, picture.width, picture.mode) == (150, 225, "RGBA")
        assert picture.getpixel((75, 50)) == tuple(colours_from_levels(np.array([237], np.uint8))[0])


def test_large_maps_are_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: ScanResult) -> None:
    monkeypatch.setattr(map_picture, "MAP_PICTURE_PX", 90)
    write_map_picture(tmp_path / "map.png", result.map.read, result.frame)
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (90, 60)
