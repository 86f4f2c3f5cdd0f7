import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.normalisation import Normalisation, NormalisationKind
from scanner.geometry.frames import Box, Frame
from scanner.slides.pixels.grid import Grid
from scanner.survey.stain import (
    BLOCK_PX,
    MAX_BLOCKS,
    MIN_STD,
    Block,
    measure_slide,
    read_blocks,
    sample_blocks,
    stain_statistics,
)
from scanner.survey.tissue import TissueMask, find_tissue, full_tissue
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.slides import texture

STAIN = Normalisation(NormalisationKind.STAIN)


def mask_of(is_tissue: np.ndarray, frame: Frame) -> TissueMask:
    return TissueMask(is_tissue, is_tissue, 8.0, frame)


def test_a_field_is_measured_whole() -> None:
    pixels = np.minimum(texture(700, 900), 200)  # no pixel is as pale as glass
    slide = ArraySlide([pixels])
    frame = frame_of(slide)
    found = measure_slide(read_blocks(Grid(slide, frame), sample_blocks(find_tissue(slide, frame))), STAIN)
    density = -np.log10((pixels.reshape(-1, 3) + 1.0) / 256)
    assert (found.sampled_px, found.tissue_px) == (700 * 900, 700 * 900)
    assert found.stain is not None
    np.testing.assert_allclose(found.stain.mean, density.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.stain.std, density.std(axis=0), rtol=1e-9)


def test_white_gaps_do_not_shift_the_stain() -> None:
    pixels = texture(512, 512)
    holed = pixels.copy()
    holed[::4] = 245
    expected = stain_statistics([Block(np.delete(pixels, np.s_[::4], axis=0))])
    assert stain_statistics([Block(holed)]).stain == expected.stain


def test_the_order_of_blocks_does_not_matter() -> None:
    blocks = [Block(texture(256, 256, seed=seed)) for seed in range(5)]
    assert stain_statistics(blocks) == stain_statistics(blocks[::-1])


def test_too_little_tissue_leaves_the_stain_to_the_card() -> None:
    assert stain_statistics([Block(texture(90, 90))]).stain is None
    assert stain_statistics([Block(np.full((512, 512, 3), 250, np.uint8))]).stain is None
    assert stain_statistics([]).stain is None


def test_flat_colours_have_a_floor_of_spread() -> None:
    found = stain_statistics([Block(np.full((200, 200, 3), (180, 90, 140), np.uint8))])
    assert found.stain is not None
    assert found.stain.std == (MIN_STD,) * 3


def test_models_that_need_no_statistics_cost_no_reading() -> None:
    slide = ArraySlide([texture(300, 300)])
    frame = frame_of(slide)
    assert (
        measure_slide(read_blocks(Grid(slide, frame), sample_blocks(full_tissue(frame))), Normalisation()).stain is None
    )
    assert slide.largest_read == 0


def test_blocks_that_cannot_be_read_are_left_out() -> None:
    pixels = texture(512, 512)
    slide = ArraySlide([pixels], unreadable=[Box(0, 0, 1, 1)])
    frame = frame_of(slide)
    found = measure_slide(read_blocks(Grid(slide, frame), sample_blocks(full_tissue(frame))), STAIN)
    assert found == stain_statistics([Block(pixels[:256, 256:]), Block(pixels[256:, :256]), Block(pixels[256:, 256:])])


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.01, 1), st.integers(0, 9))
def test_blocks_are_few_distinct_and_hold_tissue(height: int, width: int, share: float, seed: int) -> None:
    frame = Frame(height, width, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    cells = full_tissue(frame).values.shape
    tissue = mask_of(np.random.default_rng(seed).random(cells) < share, frame)
    blocks = sample_blocks(tissue)
    assert len(blocks) <= MAX_BLOCKS
    assert len(set(blocks)) == len(blocks)
    assert bool(blocks) == bool(tissue.is_tissue.any())
    for block in blocks:
        assert block == block.clipped(height, width)
        # At this mpp level 0 is the grid.
        assert tissue.area_within(block) > 0


def test_blocks_spread_over_the_whole_tissue() -> None:
    frame = Frame(100 * BLOCK_PX, 50 * BLOCK_PX, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    is_tissue = np.zeros_like(full_tissue(frame).values)
    is_tissue[: is_tissue.shape[0] // 2] = True
    tops = [block.top // BLOCK_PX for block in sample_blocks(mask_of(is_tissue, frame))]
    assert len(tops) == MAX_BLOCKS
    assert tops == sorted(tops)
    assert np.bincount(tops, minlength=50)[:50].max() == 2
    assert max(tops) == pytest.approx(49, abs=1)
