"""Grid: one grid, however it is cut; the level itself where nothing is to be resampled; mirrored beyond its edge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.geometry.frames import Box, Frame, mirrored, plan_frame
from scanner.slides import Level, Slide, open_slide
from scanner.slides.pixels.grid import Grid, choose_level
from tests.factories.array_slide import ArraySlide
from tests.factories.slides import Pixels, texture, write_pyramid

#: Grid px per level-0 px: reduced within a level, from a lower level, enlarged.
SCALES = (1.1, 1.9, 2.0, 2.7, 5.0, 0.5, 0.77)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slide]:
    path = tmp_path_factory.mktemp("grid") / "slide.svs"
    write_pyramid(path, texture(403, 517, blob=7), compression="zlib")
    with open_slide(path) as slide:
        yield slide


def slide_of(path: Path, array: Pixels) -> Slide:
    write_pyramid(path, array, levels=1, compression="zlib")
    return open_slide(path)


def grid_at(slide: Slide, scale: float) -> Grid:
    assert slide.mpp is not None
    frame = Frame(slide.levels[0].height, slide.levels[0].width, slide.mpp, slide.mpp * scale, 4)
    return Grid(slide, frame)


def whole(grid: Grid) -> Pixels:
    return grid.read(Box(0, 0, grid.height, grid.width))


@pytest.mark.parametrize("scale", SCALES)
def test_the_grid_has_the_size_of_its_frame(slide: Slide, scale: float) -> None:
    grid = grid_at(slide, scale)
    assert whole(grid).shape == (round(403 / scale), round(517 / scale), 3) == (grid.height, grid.width, 3)


@settings(max_examples=80, deadline=None)
@given(scale=st.sampled_from((1.0, *SCALES)), box=st.tuples(*[st.integers(-700, 1100)] * 2, *[st.integers(0, 90)] * 2))
def test_a_pixel_does_not_depend_on_the_box_it_is_read_in(
    slide: Slide, scale: float, box: tuple[int, int, int, int]
) -> None:
    grid = grid_at(slide, scale)
    top, left, height, width = box
    pixels = grid.read(Box(top, left, top + height, left + width))
    rows, cols = mirrored(top, top + height, grid.height), mirrored(left, left + width, grid.width)
    np.testing.assert_array_equal(pixels, whole(grid)[np.ix_(rows, cols)])


@pytest.mark.parametrize(("scale", "level"), [(1.0, 0), (2.0, 1), (4.0, 2)])
def test_where_grid_and_level_agree_the_grid_is_the_level(tmp_path: Path, scale: float, level: int) -> None:
    path = tmp_path / "slide.svs"
    arrays = write_pyramid(path, texture(400, 512), compression="zlib")
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(grid_at(slide, scale)), arrays[level])


def test_a_grid_that_reaches_half_a_pixel_beyond_its_level_repeats_the_edge(slide: Slide) -> None:
    grid = grid_at(slide, 2.0)  # 403 / 2 rounds to 202 rows; the level has 201
    level = slide.read(1, (0, 0, 201, 258))
    np.testing.assert_array_equal(grid.read(Box(0, 0, 201, 258)), level)
    np.testing.assert_array_equal(grid.read(Box(201, 0, 202, 258)), level[-1:])


@settings(max_examples=60, deadline=None)
@given(before=st.integers(0, 900), after=st.integers(0, 900), shape=st.tuples(*[st.integers(1, 40)] * 2))
def test_beyond_the_edge_the_grid_is_mirrored(before: int, after: int, shape: tuple[int, int]) -> None:
    array = texture(*shape)
    rows, cols = mirrored(-before, shape[0] + after, shape[0]), mirrored(-after, shape[1] + before, shape[1])
    expected = np.pad(array, ((before, after), (after, before), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(array[np.ix_(rows, cols)], expected)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_all_channels_are_mirrored(channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (30, 20, channels), np.uint8)
    pixels = grid_at(ArraySlide([array]), 1.0).read(Box(-9, -25, 33, 50))  # type: ignore[arg-type]
    np.testing.assert_array_equal(pixels, array[np.ix_(mirrored(-9, 33, 30), mirrored(-25, 50, 20))])


def test_a_grid_of_the_same_size_at_another_scale_is_resampled(tmp_path: Path) -> None:
    with slide_of(tmp_path / "tiny.svs", texture(4, 4)) as slide:
        pixels = whole(grid_at(slide, 1.1))
        assert pixels.shape == (4, 4, 3)
        assert (pixels != slide.read(0, (0, 0, 4, 4))).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (50, 1), (2, 3)])
@pytest.mark.parametrize("scale", [1.0, 1.3, 0.5])
def test_a_slide_smaller_than_the_halo_is_mirrored_again_and_again(
    tmp_path: Path, shape: tuple[int, int], scale: float
) -> None:
    with slide_of(tmp_path / "tiny.svs", texture(*shape)) as slide:
        grid = grid_at(slide, scale)
        pixels = grid.read(Box(-80, -80, 80, 80))
        expected = np.pad(whole(grid), ((80, 80), (80, 80), (0, 0)), mode="reflect")[:160, :160]
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_constant_slide_stays_constant(tmp_path: Path, scale: float, value: int) -> None:
    array = np.full((90, 70, 3), value, np.uint8)
    with slide_of(tmp_path / "flat.svs", array) as slide:
        pixels = whole(grid_at(slide, scale))
    np.testing.assert_array_equal(pixels, np.full_like(pixels, value))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1), (2.0, 2), (0.5, 1), (1.25, 5), (1.5, 3)])
def test_a_shifted_slide_gives_a_shifted_grid(tmp_path: Path, scale: float, shift: int) -> None:
    array = texture(160, 150)
    with (
        slide_of(tmp_path / "here.svs", array) as here,
        slide_of(tmp_path / "there.svs", array[shift:, shift:]) as there,
    ):
        grid_shift = round(shift / scale)
        inner = Box(10, 10, 70, 70)
        expected = grid_at(here, scale).read(inner.shifted(grid_shift, grid_shift))
        np.testing.assert_array_equal(grid_at(there, scale).read(inner), expected)


def test_a_ramp_keeps_its_place(tmp_path: Path) -> None:
    """level0 = (grid + 0.5) * scale - 0.5: where a grid pixel lies can be read off a ramp."""
    ramp = np.repeat(np.repeat(np.arange(250, dtype=np.uint8)[None, :], 40, axis=0)[:, :, None], 3, axis=2)
    with slide_of(tmp_path / "ramp.svs", ramp) as slide:
        for scale in (1.1, 1.7, 0.6):
            grid = grid_at(slide, scale)
            centres = (np.arange(grid.width) + 0.5) * scale - 0.5
            inner = slice(10, grid.width - 10)
            # Half a grey level is rounding; the weights' own steps add less than a tenth.
            np.testing.assert_allclose(whole(grid)[5, inner, 0], centres[inner], atol=0.6)


def test_mpp_of_slide_and_model_that_agree_leave_the_pixels_alone(slide: Slide) -> None:
    grid = Grid(slide, plan_frame((403, 517), 0.25, 0.2475, 4))
    np.testing.assert_array_equal(whole(grid), slide.read(0, (0, 0, 403, 517)))


@pytest.mark.parametrize(
    ("scale", "expected"), [(0.5, 0), (1.0, 0), (1.99, 1), (1.9, 0), (3.9, 1), (3.95, 2), (4.1, 2), (30.0, 3)]
)
def test_the_coarsest_level_with_all_the_detail_is_read(scale: float, expected: int) -> None:
    levels = tuple(Level(1000 // n, 1000 // n, float(n)) for n in (1, 2, 4, 16))
    assert choose_level(levels, scale) == expected


def test_an_empty_box_is_empty(slide: Slide) -> None:
    assert grid_at(slide, 1.3).read(Box(-5, 3, -5, 9)).shape == (0, 6, 3)
