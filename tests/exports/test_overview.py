from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scanner.exports.legend import draw_legend, scale_bar_um
from scanner.exports.marks import BORDER_COLOUR, DETECTION_COLOUR, HOTSPOT_COLOUR, UNREADABLE_COLOUR, hatching, outline
from scanner.exports.overview import draw_overview
from scanner.result import ScanResult
from scanner.survey.tissue import full_tissue
from tests.exports.stored_map import stored_map
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.slides import texture


def share_of(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((picture == colour).all(axis=-1).mean())


def test_rings_lie_around_their_detections(slide: ArraySlide, result: ScanResult) -> None:
    picture = np.asarray(draw_overview(replace(result, hotspots=()), slide))
    for detection in result.detections:
        colour = BORDER_COLOUR if detection.border else DETECTION_COLOUR
        rows, cols = np.nonzero((picture[:600] == colour).all(axis=-1))
        distance = np.hypot(rows - detection.row, cols - detection.col)
        # 12 um are 48 px; the line is 3 px wide.
        assert ((distance > 44) & (distance < 50)).sum() > 100
        assert not (distance < 40).any()


def test_nothing_found_draws_no_marks(slide: ArraySlide, result: ScanResult) -> None:
    picture = np.asarray(draw_overview(replace(result, hotspots=(), detections=(), unreadable=()), slide))[:600]
    for colour in (DETECTION_COLOUR, BORDER_COLOUR, HOTSPOT_COLOUR, UNREADABLE_COLOUR):
        assert share_of(picture, colour) < 1e-4


def test_hotspots_and_unreadable_areas_are_drawn_where_they_lie(slide: ArraySlide, result: ScanResult) -> None:
    picture = np.asarray(draw_overview(replace(result, detections=()), slide))
    box = result.hotspots[0].box
    assert tuple(picture[(box.top + box.bottom) // 2, box.left + 3]) == HOTSPOT_COLOUR
    assert share_of(picture[384:512, 128:256], UNREADABLE_COLOUR) == pytest.approx(3 / 12, abs=0.05)
    assert share_of(picture[300:380, 128:256], UNREADABLE_COLOUR) == 0


def test_glass_keeps_its_colour(slide: ArraySlide, result: ScanResult) -> None:
    picture = np.asarray(draw_overview(result, slide))
    assert (picture[300:500, 760:] == 243).all()


def test_the_same_result_gives_the_same_picture(slide: ArraySlide, result: ScanResult) -> None:
    assert draw_overview(result, slide).tobytes() == draw_overview(result, slide).tobytes()


@pytest.mark.parametrize(
    ("shape", "size"),
    # Reduced; enlarged sixteen-fold, to 1600 px; as it is, in the middle of a wider picture.
    [((1000, 2400), (667, 1600)), ((60, 100), (960, 1600)), ((900, 200), (900, 760))],
)
def test_slides_of_every_size_fill_the_picture(shape: tuple[int, int], size: tuple[int, int], tmp_path: Path) -> None:
    slide = ArraySlide([texture(*shape)])
    frame = frame_of(slide)
    report = {
        "slide": {"name": "a.png"},
        "count": 0,
        "count_per_mm2": 0.0,
        "area_mm2": {"counted": 1.0, "unreadable": 0.0},
    }
    nothing = ScanResult((), (), (), stored_map(tmp_path / "scan", frame), full_tissue(frame), (), report=report)
    picture = draw_overview(nothing, slide)
    legend = draw_legend(size[1], title="a", px_um=1.0)
    assert (picture.height - legend.height, picture.width) == size


@pytest.mark.parametrize(("longest", "length"), [(100, 100), (199, 100), (200, 200), (4999, 2000), (0.7, 0.5)])
def test_scale_bars_have_round_lengths(longest: float, length: float) -> None:
    assert scale_bar_um(longest) == pytest.approx(length)


def test_narrow_legends_have_more_lines() -> None:
    narrow, wide = (draw_legend(width, title="a", px_um=0.5) for width in (400, 1600))
    assert (narrow.width, wide.width) == (400, 1600)
    assert narrow.height > wide.height


def test_an_outline_is_part_of_the_mask_and_not_on_the_border_of_the_picture() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:, :10] = True
    expected = np.zeros_like(mask)
    expected[:, 8:10] = True
    np.testing.assert_array_equal(outline(mask), expected)


def test_hatching_stays_in_its_boxes() -> None:
    is_hatched = hatching((40, 40), [(10, 10, 30, 30)])
    assert is_hatched[10:30, 10:30].any()
    is_hatched[10:30, 10:30] = False
    assert not is_hatched.any()
