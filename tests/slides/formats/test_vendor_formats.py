"""The vendors' formats: generated, and read as their own JPEGs decode and as OpenSlide reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image

from scanner.errors import DamagedSlideError, UnreadableRegionError
from scanner.slides import Slide, open_slide
from tests.factories.slides import Pixels, pyramid, texture
from tests.factories.vendor import write_mirax, write_ndpi, write_scn, write_vms

SLIDE = texture(512, 768)


def whole(slide: Slide, level: int = 0) -> Pixels:
    return slide.read(level, (0, 0, slide.levels[level].height, slide.levels[level].width))


def by_openslide(path: Path, level: int) -> Pixels:
    """On white, as the slides here ask for."""
    with openslide.OpenSlide(path) as slide:
        rgba = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    assert set(np.unique(rgba[:, :, 3])) <= {0, 255}
    return np.where(rgba[:, :, 3:] == 0, np.uint8(255), rgba[:, :, :3])


def assert_equals_openslide(slide: Slide) -> None:
    for level in range(len(slide.levels)):
        np.testing.assert_array_equal(whole(slide, level), by_openslide(slide.path, level))


@pytest.mark.parametrize("mcu_starts", [True, False], ids=["with restart places", "without"])
def test_ndpi(tmp_path: Path, mcu_starts: bool) -> None:
    levels = write_ndpi(tmp_path / "slide.ndpi", pyramid(SLIDE, 3), mcu_starts=mcu_starts)
    with open_slide(tmp_path / "slide.ndpi") as slide:
        assert (slide.mpp, slide.mpp_source, slide.origin) == (0.25, "openslide property", (0, 0))
        # OpenSlide adds levels of its own below the file's: JPEGs decode at an eighth for little.
        assert [level.downsample for level in slide.levels] == [1, 2, 4, 8, 16, 32]
        for level, pixels in enumerate(levels):
            np.testing.assert_array_equal(whole(slide, level), pixels)
        assert_equals_openslide(slide)


def test_vms(tmp_path: Path) -> None:
    left, right, overview = write_vms(tmp_path / "slide.vms", [SLIDE[:, :384], SLIDE[:, 384:]], pyramid(SLIDE, 4)[-1])
    with open_slide(tmp_path / "slide.vms") as slide:
        assert (slide.mpp, slide.mpp_source) == (0.25, "openslide property")
        np.testing.assert_array_equal(whole(slide), np.concatenate([left, right], axis=1))
        np.testing.assert_array_equal(whole(slide, [level.downsample for level in slide.levels].index(8.0)), overview)
        assert_equals_openslide(slide)


def test_scn(tmp_path: Path) -> None:
    levels = write_scn(tmp_path / "slide.scn", pyramid(SLIDE, 3), origin=(64, 128))
    with open_slide(tmp_path / "slide.scn") as slide:
        assert (slide.mpp, slide.mpp_source, slide.origin) == (0.25, "openslide property", (64, 128))
        for level, pixels in enumerate(levels):
            top, left = 64 // 2**level, 128 // 2**level
            box = (top, left, top + pixels.shape[0], left + pixels.shape[1])
            np.testing.assert_array_equal(slide.read(level, box), pixels)
        assert_equals_openslide(slide)


def test_a_fluorescence_scn_is_refused(tmp_path: Path) -> None:
    write_scn(tmp_path / "slide.scn", pyramid(SLIDE, 2), origin=(64, 128), light="fluorescence")
    with pytest.raises(DamagedSlideError, match=r"slide\.scn: OpenSlide: Can't find main image"):
        open_slide(tmp_path / "slide.scn")


def test_mirax(tmp_path: Path) -> None:
    places = {(1, 1): texture(128, 128), (1, 2): texture(128, 128, seed=1), (2, 3): texture(128, 128, seed=2)}
    tiles = write_mirax(tmp_path / "slide.mrxs", places, grid=(4, 6), levels=3)
    expected = np.full((4 * 128, 6 * 128, 3), 255, np.uint8)
    for (row, col), tile in tiles.items():
        expected[row * 128 :, col * 128 :][:128, :128] = tile
    with open_slide(tmp_path / "slide.mrxs") as slide:
        assert (slide.mpp, slide.mpp_source) == (0.25, "openslide property")
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        # Level 0 is the whole frame, also where nothing was scanned; `origin` is what viewers cut away.
        assert slide.origin == (128, 128)
        np.testing.assert_array_equal(whole(slide), expected)
        assert_equals_openslide(slide)


def test_a_mirax_slide_without_its_folder_is_damaged(tmp_path: Path) -> None:
    write_mirax(tmp_path / "slide.mrxs", {(0, 0): texture(64, 64)}, grid=(2, 2))
    (tmp_path / "slide").rename(tmp_path / "elsewhere")
    with pytest.raises(DamagedSlideError, match=r"slide\.mrxs: the folder slide/ with the slide's data"):
        open_slide(tmp_path / "slide.mrxs")


def test_a_damaged_mirax_tile_costs_the_square_it_lies_in(tmp_path: Path) -> None:
    places = {(0, 0): texture(128, 128), (5, 5): texture(128, 128, seed=1)}
    tiles = write_mirax(tmp_path / "slide.mrxs", places, grid=(8, 8), levels=1)
    with (tmp_path / "slide" / "Data0000.dat").open("r+b") as file:
        file.seek(6)  # behind "header": the first tile's JPEG
        file.write(bytes(64))
    with open_slide(tmp_path / "slide.mrxs") as slide:
        with pytest.raises(UnreadableRegionError, match="512 px square in row 0, column 0"):
            slide.read(0, (0, 0, 64, 64))
        np.testing.assert_array_equal(slide.read(0, (640, 640, 768, 768)), tiles[5, 5])


@pytest.mark.parametrize("overlap", [6, 7])
def test_mirax_fields_that_overlap_are_placed_as_openslide_places_them(tmp_path: Path, overlap: int) -> None:
    tiles = {(row, col): texture(128, 128, seed=6 * row + col) for row in range(6) for col in range(6)}
    write_mirax(tmp_path / "slide.mrxs", tiles, grid=(6, 6), levels=3, overlap=overlap)
    with open_slide(tmp_path / "slide.mrxs") as slide:
        assert slide.levels[0].height == 6 * 128 - 5 * overlap
        for level in range(len(slide.levels)):
            with openslide.OpenSlide(slide.path) as oracle:
                rgba = np.asarray(oracle.read_region((0, 0), level, oracle.level_dimensions[level]))
            pixels, is_opaque = whole(slide, level), rgba[:, :, 3] == 255
            np.testing.assert_array_equal(pixels[is_opaque], rgba[is_opaque][:, :3])
            # Where fields meet between two pixels, OpenSlide leaves a veil, which is seen before white.
            behind = Image.new("RGBA", (rgba.shape[1], rgba.shape[0]), "white")
            expected = np.asarray(Image.alpha_composite(behind, Image.fromarray(rgba)))[:, :, :3]
            np.testing.assert_allclose(pixels.astype(int), expected, atol=1)
