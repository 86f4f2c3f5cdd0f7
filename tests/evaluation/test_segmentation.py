from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scanner.evaluation.segmentation import (
    border_threshold,
    find_segments,
    pixel_error,
    rand_score,
    score_borders,
    thin_borders,
)


def grid_of_borders(side: int = 60, *, step: int = 20, width: int = 3) -> np.ndarray:
    """Lines of odd widths, in the middle of each step."""
    is_line = np.abs(np.arange(side) % step - step // 2) <= width // 2
    return is_line[:, None] | is_line[None, :]


def score_by_pairs(proposed: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The slow obvious way: every ordered pair of foreground pixels, a pixel with itself included."""
    pixels = [(t, p, i) for i, (t, p) in enumerate(zip(truth.ravel(), proposed.ravel(), strict=True)) if t]
    kept = together = proposed_together = len(pixels)
    for one, other in combinations(pixels, 2):
        same_truth, same_proposed = one[0] == other[0], one[1] == other[1] != 0
        together += 2 * same_truth
        proposed_together += 2 * same_proposed
        kept += 2 * (same_truth and same_proposed)
    return kept / proposed_together, kept / together


@settings(max_examples=40, deadline=None)
@given(arrays(np.int32, (5, 6), elements=st.integers(0, 3)), arrays(np.int32, (5, 6), elements=st.integers(0, 3)))
def test_the_score_counts_pairs(proposed: np.ndarray, truth: np.ndarray) -> None:
    if not truth.any():
        return
    score = rand_score(proposed, truth)
    assert (score.precision, score.recall) == pytest.approx(score_by_pairs(proposed, truth))


def test_the_truth_scores_one() -> None:
    truth = grid_of_borders()
    assert score_borders(truth, truth).f1 == pytest.approx(1.0)


@pytest.mark.parametrize("width", [1, 5, 9])
def test_after_thinning_the_width_of_a_border_does_not_count(width: int) -> None:
    truth = grid_of_borders()
    assert score_borders(grid_of_borders(width=width), truth).f1 > 0.99
    if width == 9:
        assert rand_score(find_segments(grid_of_borders(width=width)), find_segments(truth)).f1 < 0.75


def test_thinned_borders_are_one_pixel_wide_and_keep_the_segments() -> None:
    segments = find_segments(grid_of_borders(width=7))
    thinned = thin_borders(segments)
    assert (thinned[segments > 0] == segments[segments > 0]).all()
    border = thinned == 0
    assert not (border[:-1, :-1] & border[1:, :-1] & border[:-1, 1:] & border[1:, 1:]).any()
    assert border.sum() < 0.2 * (segments == 0).sum()


def test_a_gap_merges_and_a_false_border_splits() -> None:
    truth = grid_of_borders()
    gap, extra = truth.copy(), truth.copy()
    gap[40, 9:12] = False
    extra[20] = True
    merged, split = score_borders(gap, truth), score_borders(extra, truth)
    assert merged.precision < 0.95
    assert merged.recall > 0.99
    assert split.precision > 0.99
    assert split.recall < 0.95


def test_no_border_at_all_is_one_segment() -> None:
    truth = grid_of_borders()
    score = score_borders(np.zeros_like(truth), truth)
    assert score.recall == pytest.approx(1.0)
    sizes = np.bincount(find_segments(truth).ravel())[1:]
    assert score.precision == pytest.approx((sizes**2).sum() / sizes.sum() ** 2)


def test_pixel_error_is_the_share_of_wrong_pixels() -> None:
    assert pixel_error(np.array([[1, 0], [2, 2]]), np.array([[1, 1], [2, 0]])) == 0.5


def test_a_threshold_is_chosen_by_pixels_or_by_segments() -> None:
    truth = grid_of_borders()
    values = np.where(truth, 0.6, 0.1).astype(np.float32)
    values[40, 9:12] = 0.3  # a weak place in a border
    values[12:14, 12:28] = 0.35  # dark, but no border: 32 of 3,600 px
    maps, thresholds = [(values, truth)], (0.05, 0.15, 0.25, 0.29, 0.5)
    assert border_threshold(maps, thresholds=thresholds, by_segments=False) == 0.5  # 0.05 makes everything border
    assert border_threshold(maps, thresholds=thresholds, by_segments=True) == pytest.approx(
        0.22
    )  # 0.15 to 0.29 score the same
