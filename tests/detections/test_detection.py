from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.card import ModelCard
from scanner.detections.detection import above_threshold, counted, detections_from_peaks
from scanner.geometry.frames import Frame
from scanner.maps.peaks import Peak

CARD = ModelCard("a", "1", "dannet", {}, patch_size=101, mpp=0.25, margin_um=3.0)
#: Every 4th level-0 px, of 0.25 um, is a map px.
FRAME = Frame(400, 800, level0_mpp=0.25, grid_mpp=0.25, stride=4)


def test_detections_lie_on_the_level_0_pixel_that_was_scanned() -> None:
    (found,) = detections_from_peaks([Peak(10, 20, 0.8)], FRAME, CARD)
    assert (found.row, found.col, found.row_um, found.col_um) == (40, 80, 10, 20)
    assert (found.score, found.label, found.border) == (0.8, "mitosis", False)


@given(st.integers(0, 49), st.integers(0, 99))
def test_coordinates_go_to_level_0_and_back(row: int, col: int) -> None:
    frame = Frame(400, 800, level0_mpp=0.499, grid_mpp=0.25, stride=3)
    (found,) = detections_from_peaks([Peak(row, col, 0.5)], frame, CARD)
    assert frame.map_from_level0(found.row) == pytest.approx(row, abs=1e-9)
    assert frame.map_from_level0(found.col) == pytest.approx(col, abs=1e-9)


def test_detections_come_best_first_and_ties_in_raster_order() -> None:
    peaks = [Peak(5, 9, 0.5), Peak(7, 1, 0.9), Peak(5, 2, 0.5), Peak(3, 4, 0.5)]
    found = detections_from_peaks(peaks, FRAME, CARD)
    assert [(d.score, d.row / 4, d.col / 4) for d in found] == [(0.9, 7, 1), (0.5, 3, 4), (0.5, 5, 2), (0.5, 5, 9)]


@pytest.mark.parametrize(
    ("row", "col", "is_border"),
    # Centres 3 um = 12 px from the border: px 8 is 8.5 px off, px 12 is 12.5 px off.
    [(8, 400, True), (12, 400, False), (388, 400, True), (384, 400, False), (200, 8, True), (200, 788, True)],
)
def test_detections_on_the_true_border_are_marked(row: int, col: int, is_border: bool) -> None:
    (found,) = detections_from_peaks([Peak(row // 4, col // 4, 0.8)], FRAME, CARD)
    assert found.border is is_border


def test_border_detections_are_kept_and_not_counted() -> None:
    found = detections_from_peaks([Peak(0, 0, 0.9), Peak(50, 50, 0.8)], FRAME, CARD)
    assert len(found) == 2
    assert counted(found) == found[1:]


def test_the_threshold_itself_is_above_threshold() -> None:
    found = detections_from_peaks([Peak(20, 20, 0.5), Peak(50, 50, 0.499)], FRAME, CARD)
    assert above_threshold(found, 0.5) == found[:1]


def test_the_label_is_the_cards_target() -> None:
    card = replace(CARD, classes=("background", "plasma cell"), target="plasma cell")
    assert detections_from_peaks([Peak(20, 20, 0.5)], FRAME, card)[0].label == "plasma cell"
