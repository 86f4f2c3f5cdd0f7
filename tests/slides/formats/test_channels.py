"""Slides of any number of channels: read as they are stored where that is asked for, refused everywhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.errors import DamagedSlideError, UnsupportedSlideError
from scanner.geometry.frames import Box
from scanner.slides import open_slide
from scanner.slides.pixels.colour import shown_as_rgb
from scanner.slides.pixels.grid import Grid
from scanner.slides.pixels.thumbnail import read_thumbnail
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.channels import WRITERS, Write, as_array, as_ome, as_ome_zarr, as_pages, stained, write_slide
from tests.factories.slides import damage_tile, pyramid, texture


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("write", WRITERS)
def test_every_level_is_read_as_it_is_stored(tmp_path: Path, write: Write, channels: int) -> None:
    path, levels = write_slide(write, tmp_path, stained(150, 170, channels))
    with open_slide(path, channels=channels) as slide:
        assert slide.channels == channels
        assert slide.mpp == (None if write is as_array else pytest.approx(0.25))
        assert [(level.height, level.width) for level in slide.levels] == [level.shape[:2] for level in levels]
        for index, level in enumerate(levels):
            np.testing.assert_array_equal(slide.read(index, (0, 0, *level.shape[:2])), level)
        part = slide.read(0, (40, 100, 160, 180))  # reaches over the lower right corner
        np.testing.assert_array_equal(part[:110, :70], levels[0][40:, 100:])
        assert (part[110:] == 255).all()


@pytest.mark.parametrize("write", [as_pages, as_ome, as_ome_zarr])
def test_they_are_no_brightfield_slide(tmp_path: Path, write: Write) -> None:
    path, _ = write_slide(write, tmp_path, stained(150, 170, 5))
    with pytest.raises(UnsupportedSlideError, match=r"full size|SizeC = 5|channels marker 0"):
        open_slide(path)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("wanted", [2, 4])
def test_other_numbers_of_channels_are_refused(tmp_path: Path, write: Write, wanted: int) -> None:
    path, _ = write_slide(write, tmp_path, stained(150, 170, 5))
    with pytest.raises(UnsupportedSlideError, match=f"5 channels, but {wanted} are needed"):
        open_slide(path, channels=wanted)


def test_pictures_have_no_more_than_three(tmp_path: Path) -> None:
    Image.fromarray(texture(60, 60)).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedSlideError, match=r"a\.png: 3 channels, but 4 are needed; TIFF"):
        open_slide(tmp_path / "a.png", channels=4)


@pytest.mark.parametrize("write", [as_ome, as_ome_zarr])
def test_whoever_takes_any_gets_rgb_where_there_is_some(tmp_path: Path, write: Write) -> None:
    Image.fromarray(texture(60, 60)).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", channels=None) as field:
        assert field.channels == 3
    # Three channels that are not red, green and blue.
    path, levels = write_slide(write, tmp_path, stained(150, 170, 3))
    with pytest.raises(UnsupportedSlideError):
        open_slide(path)
    with open_slide(path, channels=None) as slide:
        np.testing.assert_array_equal(slide.read(1, (0, 0, 75, 85)), levels[1])


def test_sixteen_bits_a_channel_are_refused_with_the_way_out(tmp_path: Path) -> None:
    planes = np.zeros((4, 90, 90), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", metadata=None)
    with pytest.raises(UnsupportedSlideError, match="16-bit uint16 are not read; write them as 8 bits"):
        open_slide(tmp_path / "a.tif", channels=4)


def test_a_focus_stack_is_none_of_channels(tmp_path: Path) -> None:
    planes = np.zeros((4, 90, 90), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"})
    with pytest.raises(UnsupportedSlideError, match="SizeZ = 4"):
        open_slide(tmp_path / "a.ome.tif", channels=4)


def test_channels_of_different_layouts_are_damage(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for side in (64, 32):
            writer.write(np.zeros((96, 96), np.uint8), tile=(side, side), photometric="minisblack", metadata=None)
    with pytest.raises(DamagedSlideError, match="TIFF tiles of different sizes"):
        open_slide(tmp_path / "a.tif", channels=2)


def test_a_damaged_tile_of_one_channel_spoils_its_place_alone(tmp_path: Path) -> None:
    pixels = stained(150, 170, 2)
    path = as_ome(tmp_path, pyramid(pixels, 2))
    damage_tile(path, 0)
    with open_slide(path, channels=2) as slide:
        with pytest.raises(OSError, match="TIFF tile in row 0, column 0"):
            slide.read(0, (0, 0, 64, 64))
        np.testing.assert_array_equal(slide.read(0, (0, 64, 64, 128)), pixels[:64, 64:128])


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 6),
    model_mpp=st.sampled_from([0.2, 0.25, 0.37, 0.6]),
    corner=st.tuples(st.integers(-20, 30), st.integers(-20, 30)),
    size=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_each_channel_is_resampled_for_itself(
    channels: int, model_mpp: float, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    levels = pyramid(stained(96, 80, channels), 2)
    frame = frame_of(ArraySlide(levels), model_mpp=model_mpp)
    box = Box(*corner, corner[0] + size[0], corner[1] + size[1])
    together = Grid(ArraySlide(levels), frame).read(box)
    assert together.shape == (*size, channels)
    for channel in range(channels):
        alone = Grid(ArraySlide([level[..., channel : channel + 1] for level in levels]), frame).read(box)
        np.testing.assert_array_equal(together[..., channel], alone[..., 0])


@given(channels=st.integers(1, 6))
def test_pictures_show_the_first_three_channels(channels: int) -> None:
    pixels = stained(32, 32, channels)
    shown = shown_as_rgb(pixels)
    assert shown.shape == (32, 32, 3)
    np.testing.assert_array_equal(shown[..., : min(3, channels)], pixels[..., :3])
    assert not shown[..., channels:].any()
    slide = ArraySlide([pixels])
    thumbnail = read_thumbnail(slide, frame_of(slide), cell_um=0.25)
    np.testing.assert_array_equal(thumbnail.colours, shown)
