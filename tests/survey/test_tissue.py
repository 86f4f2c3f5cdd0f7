import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.frames import Box, Frame
from scanner.slides import open_slide
from scanner.survey.tissue import RIM_UM, TissueMask, absorbs_light, find_tissue, full_tissue
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.slides import pyramid, texture

FRAME = Frame(1000, 1400, level0_mpp=0.25, grid_mpp=0.25, stride=4)


def on_glass(height: int, width: int, *islands: Box, glass: int = 242) -> np.ndarray:
    """Stained islands on glass."""
    stained = texture(height, width)
    grain = np.random.default_rng(1).normal(0, 2, (height, width, 3))
    pixels = np.clip(glass + grain, 0, 255).astype(np.uint8)
    for island in islands:
        pixels[island.slices()] = stained[island.slices()]
    return pixels


def tissue_of(pixels: np.ndarray, *, mpp: float = 0.25) -> TissueMask:
    slide = ArraySlide([pixels], mpp=mpp)
    return find_tissue(slide, frame_of(slide))


@given(st.integers(8, 300), st.integers(8, 300))
def test_a_field_full_of_tissue_is_kept_whole(height: int, width: int) -> None:
    mask = tissue_of(texture(height, width))
    assert mask.values.all()
    assert mask.area_mm2 == pytest.approx(mask.frame.area_mm2)


@pytest.mark.parametrize("glass", [215, 242, 255])
def test_empty_glass_has_no_tissue(glass: int) -> None:
    mask = tissue_of(on_glass(600, 800, glass=glass))
    assert not mask.values.any()
    assert (mask.area_mm2, mask.scanned_mm2) == (0, 0)


def test_black_unscanned_areas_are_no_tissue() -> None:
    pixels = np.zeros((800, 800, 3), np.uint8)
    pixels[:, :320] = texture(800, 320)
    mask = tissue_of(pixels)
    assert mask.is_tissue[:, :10].all()
    assert not mask.is_tissue[:, 10:].any()


def test_pale_stroma_is_tissue() -> None:
    assert absorbs_light(np.array([[[230, 200, 220], [150, 110, 170]]], np.uint8)).all()


def test_tissue_is_scanned_with_a_rim() -> None:
    mask = tissue_of(on_glass(1280, 1280, Box(512, 512, 768, 768)))
    rows, cols = np.nonzero(mask.is_tissue)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (16, 23, 16, 23)
    rows, cols = np.nonzero(mask.values)
    rim = int(RIM_UM / mask.mask_mpp)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (16 - rim, 23 + rim, 16 - rim, 23 + rim)
    assert mask.area_mm2 < mask.scanned_mm2


def test_specks_are_dropped_and_small_holes_filled() -> None:
    pixels = on_glass(400, 400, Box(80, 80, 320, 320), Box(16, 16, 32, 32))
    pixels[160:240, 160:240] = 242  # a lumen of 80 um
    mask = tissue_of(pixels, mpp=1.0)
    assert not mask.values[:5, :5].any()
    assert mask.is_tissue[10:40, 10:40].all()


def test_narrow_gaps_are_closed_up_to_the_border_of_the_slide() -> None:
    pixels = on_glass(1600, 240, Box(0, 0, 1600, 240))
    pixels[:, 104:128] = 242  # 24 um wide, too long to be a hole
    assert tissue_of(pixels, mpp=1.0).is_tissue.all()


def test_large_holes_stay_glass() -> None:
    pixels = on_glass(600, 600, Box(0, 0, 600, 600))
    pixels[100:500, 100:500] = 242  # 400 um
    assert not tissue_of(pixels, mpp=1.0).values[30:45, 30:45].any()


def test_a_pyramid_gives_the_mask_of_its_level_0() -> None:
    pixels = on_glass(1024, 1024, Box(256, 512, 768, 928))
    flat, tall = ArraySlide([pixels]), ArraySlide(pyramid(pixels, levels=6))
    expected = find_tissue(flat, frame_of(flat))
    np.testing.assert_array_equal(find_tissue(tall, frame_of(tall)).is_tissue, expected.is_tissue)
    assert tall.levels_read == {5}


def test_what_cannot_be_read_counts_as_tissue_until_the_scan_knows() -> None:
    slide = ArraySlide([on_glass(1024, 1024)], unreadable=[Box(500, 500, 510, 510)])
    assert find_tissue(slide, frame_of(slide)).is_tissue[15, 15]


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([0.1, 0.2273, 0.25, 0.499, 9.5]))
def test_full_tissue_has_the_area_of_the_slide(height: int, width: int, mpp: float) -> None:
    frame = Frame(height, width, level0_mpp=mpp, grid_mpp=max(0.25, mpp), stride=2)
    assert full_tissue(frame).area_mm2 == pytest.approx(height * width * mpp**2 / 1e6)


@given(st.data())
def test_areas_of_the_parts_add_up(data: st.DataObject) -> None:
    mask = TissueMask(np.ones((32, 44), bool), np.random.default_rng(3).random((32, 44)) < 0.5, 8.0, FRAME)
    row, col = data.draw(st.integers(0, 1000)), data.draw(st.integers(0, 1400))
    parts = [Box(0, 0, row, col), Box(0, col, row, 1400), Box(row, 0, 1000, col), Box(row, col, 1000, 1400)]
    assert sum(mask.area_within(part) for part in parts) == pytest.approx(mask.area_mm2)


def test_boxes_beyond_the_slide_add_no_area() -> None:
    mask = full_tissue(FRAME)
    assert mask.area_within(Box(-50, -50, 2000, 2000)) == pytest.approx(FRAME.area_mm2)
    assert mask.area_within(Box(1200, 0, 1300, 10)) == 0


@given(st.integers(0, 249), st.integers(0, 349), st.integers(1, 40), st.integers(1, 40))
def test_map_px_take_the_value_of_the_cell_they_lie_in(top: int, left: int, height: int, width: int) -> None:
    values = np.random.default_rng(4).random((32, 44)) < 0.2
    mask = TissueMask(values, values, 8.0, FRAME)
    box = Box(top, left, top + height, left + width).clipped(250, 350)
    # A map px is 1 um, a cell 8 um.
    expected = [
        [values[row // 8, col // 8] for col in range(box.left, box.right)] for row in range(box.top, box.bottom)
    ]
    np.testing.assert_array_equal(mask.values_for(box), expected)
    assert mask.any_in(box) == np.any(expected)


def test_a_box_of_coarse_map_px_agrees_with_any_of_it() -> None:
    # A map px of 16 um skips every other cell.
    frame = Frame(1024, 1024, level0_mpp=0.25, grid_mpp=0.25, stride=64)
    values = np.zeros((32, 32), bool)
    values[1, 1] = True
    mask = TissueMask(values, values, 8.0, frame)
    assert not mask.any_in(Box(0, 0, 16, 16))
    assert not mask.values_for(Box(0, 0, 16, 16)).any()


def test_lost_boxes_leave_mask_and_area() -> None:
    mask = full_tissue(FRAME)
    lost = mask.without([Box(0, 0, 64, 80), Box(240, 0, 250, 350)])
    assert not lost.values_for(Box(0, 0, 64, 80)).any()
    # The last 10 um hold the centres of two rows of cells (244 and 252 um), of which 10 um lie on the slide.
    assert mask.area_mm2 - lost.area_mm2 == pytest.approx((64 * 80 + 10 * 350) / 1e6)
    assert mask.values.all()


def test_labelled_figures_lie_in_scanned_tissue(shared_data: Path) -> None:
    with (shared_data / "mitos14" / "labels.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))[::50]
    for label in labels:
        with open_slide(shared_data / "mitos14" / "images" / label["image"], mpp=0.2274) as slide:
            level = slide.levels[0]
            mask = find_tissue(slide, Frame(level.height, level.width, level0_mpp=0.2274, grid_mpp=0.2274, stride=4))
        row, col = round(float(label["y"]) / 4), round(float(label["x"]) / 4)
        assert mask.any_in(Box(row, col, row + 1, col + 1))


def test_a_real_slide_is_half_glass(example_slide: Path) -> None:
    with open_slide(example_slide) as slide:
        level = slide.levels[0]
        mask = find_tissue(slide, Frame(level.height, level.width, level0_mpp=0.499, grid_mpp=0.499, stride=4))
    assert 0.35 < mask.area_mm2 / mask.frame.area_mm2 < 0.45
