"""What a level states decides over what padding makes of its size."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scanner.slides.padding import levels_as_stated
from scanner.slides.protocol import Level, levels_from_sizes


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
