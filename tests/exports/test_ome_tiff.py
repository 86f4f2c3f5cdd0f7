from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openslide
import pytest
import tifffile

from scanner.exports import ome_tiff
from scanner.exports.ome_tiff import bytes_from_probabilities, level_shapes, max_pool, write_map
from scanner.geometry.frames import Box, Frame

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def frame_of(height: int, width: int) -> Frame:
    return Frame(height * 4, width * 4, level0_mpp=0.25, grid_mpp=0.25, stride=4)


def write_noise(path: Path, height: int, width: int) -> np.ndarray:
    values = np.random.default_rng(0).random((height, width), np.float32)
    write_map(path, lambda box: values[box.slices()], frame_of(height, width))
    return values


def slow_max_pool(values: np.ndarray) -> np.ndarray:
    rows, cols = range(0, values.shape[0], 2), range(0, values.shape[1], 2)
    return np.array([[values[row : row + 2, col : col + 2].max() for col in cols] for row in rows])


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (513, 1), (700, 1300), (1030, 2049)])
def test_every_level_is_the_max_pooled_level_above(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = write_noise(tmp_path / "a.ome.tiff", *shape)
    expected = np.rint(values * 255).astype(np.uint8)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == level_shapes(*shape)
        for level in levels:
            np.testing.assert_array_equal(level.asarray(), expected)
            expected = slow_max_pool(expected)


def test_pixels_have_the_size_of_map_px(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.ome.tiff", 600, 300)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
        pixels = ElementTree.fromstring(tiff.ome_metadata or "").find(f"{OME}Image/{OME}Pixels")
        assert not tiff.is_bigtiff
    assert pixels is not None
    assert pixels.attrib["PhysicalSizeX"] == pixels.attrib["PhysicalSizeY"] == "1.0"
    assert pixels.attrib["PhysicalSizeXUnit"] == "\N{MICRO SIGN}m"


def test_other_readers_see_the_same_pixels(tmp_path: Path) -> None:
    values = write_noise(tmp_path / "a.ome.tiff", 700, 600)
    with openslide.OpenSlide(tmp_path / "a.ome.tiff") as slide:
        assert slide.dimensions == (600, 700)
        found = np.asarray(slide.read_region((0, 0), 0, (600, 700)))[..., 0]
    np.testing.assert_array_equal(found, bytes_from_probabilities(values))


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_noise(tmp_path / name, 700, 600)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_large_maps_are_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_tiff, "BIG_PX", 1000)
    write_noise(tmp_path / "a.ome.tiff", 40, 40)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
        assert tiff.is_bigtiff


def test_only_a_band_of_the_map_is_read_at_once(tmp_path: Path) -> None:
    boxes = []

    def read(box: Box) -> np.ndarray:
        boxes.append(box)
        return np.zeros((box.height, box.width), np.float32)

    write_map(tmp_path / "a.ome.tiff", read, frame_of(2000, 100))
    assert [(box.top, box.bottom) for box in boxes] == [(0, 512), (512, 1024), (1024, 1536), (1536, 2000)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.tiff"]


def test_single_peaks_survive_in_every_level() -> None:
    values = np.zeros((101, 77), np.uint8)
    values[100, 76] = 200
    assert max_pool(values)[-1, -1] == 200
