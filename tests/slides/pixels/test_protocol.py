"""Level: downsamples are the integers that the writer meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.slides.pixels.protocol import levels_from_sizes

sides = st.integers(5_000, 200_000)


@given(
    height=sides, width=sides, downsample=st.sampled_from([2, 3, 4, 8, 10, 16, 32]), up=st.tuples(*[st.booleans()] * 2)
)
def test_a_rounded_size_has_an_integer_downsample(
    height: int, width: int, downsample: int, up: tuple[bool, bool]
) -> None:
    size = tuple(
        -(-full // downsample) if ceil else full // downsample for full, ceil in zip((height, width), up, strict=True)
    )
    levels = levels_from_sizes([(height, width), (size[0], size[1])])
    assert [level.downsample for level in levels] == [1.0, float(downsample)]


def test_halving_again_and_again_gives_powers_of_two() -> None:
    sizes = [(40_001, 27_999)]
    while min(sizes[-1]) > 100:
        sizes.append((sizes[-1][0] // 2, -(-sizes[-1][1] // 2)))
    assert [level.downsample for level in levels_from_sizes(sizes)] == [2.0**power for power in range(len(sizes))]


@pytest.mark.parametrize(("full", "reduced"), [((1000, 1000), (400, 400)), ((700, 900), (300, 386))])
def test_any_other_ratio_stays_as_it_is(full: tuple[int, int], reduced: tuple[int, int]) -> None:
    level = levels_from_sizes([full, reduced])[1]
    assert level.downsample == pytest.approx(full[0] / reduced[0], rel=0.01)
    assert level.downsample % 1
