"""Appearance: a slide's statistics depend on its tissue alone, and move when the slide is recoloured or blurred."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from scanner.slides.pixels.grid import Grid
from scanner.survey.appearance import STATISTICS, appearance_of, measure_appearance
from scanner.survey.stain import Block, read_blocks, sample_blocks
from scanner.survey.tissue import find_tissue
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.slides import Pixels, texture

BLOCKS = [texture(256, 256, seed=seed) for seed in range(3)]


def measured(*blocks: Pixels) -> dict[str, float]:
    found = measure_appearance(Block(pixels) for pixels in blocks)
    assert found is not None
    return found


@given(st.permutations(range(3)))
def test_the_order_of_blocks_does_not_matter(order: list[int]) -> None:
    assert measured(*(BLOCKS[index] for index in order)) == pytest.approx(measured(*BLOCKS), abs=2e-5)


@given(st.integers(1, 254), st.integers(1, 254), st.integers(1, 254))
def test_every_statistic_of_every_colour_is_a_number_above_zero(red: int, green: int, blue: int) -> None:
    found = measure_appearance([Block(np.full((128, 128, 3), (red, green, blue), np.uint8))])
    assert found is None or (list(found) == list(STATISTICS) and all(0 < value < np.inf for value in found.values()))


def test_glass_is_no_part_of_it() -> None:
    on_glass = np.full((256, 512, 3), 245, np.uint8)
    on_glass[:, :256] = BLOCKS[0]
    assert measured(on_glass) == measured(BLOCKS[0])


def test_of_too_little_tissue_nothing_is_said() -> None:
    assert measure_appearance([Block(texture(90, 90))]) is None
    assert measure_appearance([Block(np.full((512, 512, 3), 250, np.uint8))]) is None
    assert measure_appearance([]) is None


def test_a_blurred_slide_has_less_detail_and_the_same_colour() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.normal((200, 120, 180), 15, (256, 256, 3)).clip(0, 250).astype(np.uint8)
    blurred = gaussian_filter(sharp, (2, 2, 0))
    before, after = measured(sharp), measured(blurred)
    assert after["fine_detail"] < 0.5 * before["fine_detail"]
    assert after["red_to_green"] == pytest.approx(before["red_to_green"], rel=0.05)


def test_swapped_channels_swap_the_shares() -> None:
    found, swapped = measured(*BLOCKS), measured(*(block[..., ::-1] for block in BLOCKS))
    assert swapped["red_to_green"] == pytest.approx(found["blue_to_green"], abs=1e-4)
    assert swapped["density"] == pytest.approx(found["density"], abs=1e-4)


def test_tissue_that_passes_for_ink_is_measured_where_there_is_no_other() -> None:
    pixels = np.ascontiguousarray(texture(600, 600)[..., [1, 2, 0]])
    slide = ArraySlide([pixels])
    frame = frame_of(slide)
    grid, tissue = Grid(slide, frame), find_tissue(slide, frame)
    assert tissue.ink_mm2 > 0.9 * frame.area_mm2
    assert appearance_of(grid, tissue, read_blocks(grid, sample_blocks(tissue))) is not None
