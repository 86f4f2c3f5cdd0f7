"""What a level states decides over what padding makes of its size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given
from hypothesis import strategies as st

from scanner.slides import open_slide
from scanner.slides.metadata.padding import levels_as_stated
from scanner.slides.pixels.protocol import Level, levels_from_sizes
from tests.factories.slides import Pixels, pyramid, texture
from tests.factories.zarr import write_ome_zarr


@given(
    full=st.tuples(st.integers(600, 9000), st.integers(600, 9000)),
    downsample=st.integers(2, 16),
    tile=st.sampled_from([64, 128, 256]),
    error=st.floats(-0.001, 0.001),
)
def test_levels_filled_up_to_whole_tiles(full: tuple[int, int], downsample: int, tile: int, error: float) -> None:
    wanted = [math.ceil(side / downsample) for side in full]
    size = (-(-wanted[0] // tile) * tile, -(-wanted[1] // tile) * tile)
    level = levels_as_stated([full, size], [1.0, downsample * (1 + error)], [(tile, tile)] * 2)[1]
    assert level.downsample == downsample
    for found, true in zip((level.height, level.width), wanted, strict=True):
        assert found - true in (0, 1)  # A pixel of padding cannot be told from rounding.


@given(full=st.tuples(st.integers(600, 9000), st.integers(600, 9000)), downsample=st.integers(2, 16))
def test_levels_that_are_not_filled_up_are_as_their_sizes_say(full: tuple[int, int], downsample: int) -> None:
    sizes = [full, (full[0] // downsample, -(-full[1] // downsample))]
    by_size = levels_from_sizes(sizes)
    assume(by_size[1].downsample == downsample)
    assert levels_as_stated(sizes, [1.0, float(downsample)], [(256, 256)] * 2) == by_size
    assert levels_as_stated(sizes, [None, None], [(256, 256)] * 2) == by_size


@pytest.mark.parametrize("stated", [None, 3.0, 0.25, 8.0, math.inf, math.nan])
def test_a_statement_that_the_size_contradicts_is_not_believed(stated: float | None) -> None:
    levels = levels_as_stated([(4000, 4000), (2000, 2000)], [1.0, stated], [(256, 256)] * 2)
    assert levels[1] == Level(2000, 2000, 2.0)


def test_padding_that_makes_another_whole_ratio_is_seen_through() -> None:
    levels = levels_as_stated([(512, 512), (256, 256)], [1.0, 4.0], [(256, 256)] * 2)
    assert levels[1] == Level(128, 128, 4.0)


def filled_up(level: Pixels, tile: tuple[int, int]) -> Pixels:
    """A level, with white around it up to whole tiles."""
    height, width = level.shape[:2]
    return np.pad(level, ((0, -height % tile[0]), (0, -width % tile[1]), (0, 0)), constant_values=255)


@pytest.mark.parametrize("writer", ["tiff", "zarr"])
def test_filled_up_levels_of_other_formats_are_as_they_state(tmp_path: Path, writer: str) -> None:
    levels = pyramid(texture(650, 850, blob=64), 3)
    tile = (64, 64) if writer == "tiff" else (48, 64)
    filled = [levels[0], *(filled_up(level, tile) for level in levels[1:])]
    path = tmp_path / f"slide.{writer}"
    if writer == "zarr":
        write_ome_zarr(path, filled)
    else:
        with tifffile.TiffWriter(path) as file:
            for index, level in enumerate(filled):
                resolution = (1e4 / 0.25 / 2**index,) * 2
                file.write(
                    level,
                    tile=tile,
                    photometric="rgb",
                    subfiletype=int(index > 0),
                    resolution=resolution,
                    resolutionunit="CENTIMETER",
                    metadata=None,
                )
    with open_slide(path) as slide:
        assert [(level.height, level.width, level.downsample) for level in slide.levels] == [
            (650, 850, 1.0),
            (325, 425, 2.0),
            (163, 213, 4.0),
        ]
        for index, level in enumerate(levels):
            np.testing.assert_array_equal(slide.read(index, (0, 0, *level.shape[:2])), level)
