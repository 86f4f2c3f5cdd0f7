import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.frames import Box
from scanner.maps.peaks import Peak, PeakSettings, find_map_peaks, find_peaks, suppress

PEAKS = st.lists(
    st.builds(
        Peak,
        row=st.integers(0, 30),
        col=st.integers(0, 30),
        # Few scores, so that ties are common.
        score=st.sampled_from([0.1, 0.5, 0.9]),
    ),
    max_size=60,
    unique_by=lambda peak: (peak.row, peak.col),
)
RADII = st.floats(0.5, 12)


def steps(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A map of few values: full of flat tops."""
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.float32) / 4


def distance(one: Peak, other: Peak) -> float:
    return math.hypot(one.row - other.row, one.col - other.col)


def slow_peaks(values: np.ndarray, floor: float) -> list[Peak]:
    height, width = values.shape
    found = []
    for row in range(height):
        for col in range(width):
            around = [
                (r, c)
                for r in range(max(0, row - 1), min(height, row + 2))
                for c in range(max(0, col - 1), min(width, col + 2))
                if (r, c) != (row, col)
            ]
            value = values[row, col]
            is_peak = all(value > values[place] if place < (row, col) else value >= values[place] for place in around)
            if is_peak and value >= floor:
                found.append(Peak(row, col, float(value)))
    return found


def slow_suppress(peaks: list[Peak], radius: float) -> list[Peak]:
    kept: list[Peak] = []
    for peak in sorted(peaks, key=lambda peak: (-peak.score, peak.row, peak.col)):
        if all(distance(peak, other) > radius for other in kept):
            kept.append(peak)
    return kept


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_peaks_are_the_local_maxima(height: int, width: int, seed: int) -> None:
    values = steps((height, width), seed)
    assert find_peaks(values, floor=0.5) == slow_peaks(values, 0.5)


def test_a_flat_top_is_one_peak_at_its_first_pixel() -> None:
    values = np.zeros((5, 6), np.float32)
    values[1:4, 2:5] = 1
    assert find_peaks(values, floor=0.5) == [Peak(1, 2, 1.0)]


def test_border_and_corner_pixels_can_be_peaks() -> None:
    values = np.zeros((4, 4), np.float32)
    values[0, 0] = values[3, 2] = 0.7
    assert [(peak.row, peak.col) for peak in find_peaks(values, floor=0.5)] == [(0, 0), (3, 2)]


@given(PEAKS, RADII)
def test_nms_is_greedy_by_score_then_row_then_column(peaks: list[Peak], radius: float) -> None:
    assert suppress(peaks, radius) == slow_suppress(peaks, radius)


@given(PEAKS, RADII)
def test_kept_peaks_are_apart_and_every_other_one_is_near_a_better_one(peaks: list[Peak], radius: float) -> None:
    kept = suppress(peaks, radius)
    for index, peak in enumerate(kept):
        assert all(distance(peak, other) > radius for other in kept[:index])
    for lost in set(peaks) - set(kept):
        assert any(distance(lost, peak) <= radius and peak.score >= lost.score for peak in kept)


def test_nms_in_many_batches_is_nms() -> None:
    rng = np.random.default_rng(5)
    places = np.unravel_index(rng.choice(400 * 400, 10_000, replace=False), (400, 400))
    peaks = [Peak(int(r), int(c), float(s)) for r, c, s in zip(*places, rng.random(10_000).round(3), strict=True)]
    kept = suppress(peaks, 4)
    assert kept == suppress(peaks[::-1], 4)
    assert len(kept) < len(peaks)
    rows, cols = (np.array([getattr(peak, name) for peak in kept]) for name in ("row", "col"))
    squares = (rows[:, None] - rows) ** 2 + (cols[:, None] - cols) ** 2
    assert (squares[~np.eye(len(kept), dtype=bool)] > 16).all()


def test_exactly_the_radius_is_too_near() -> None:
    near, far = Peak(0, 5, 0.5), Peak(0, 6, 0.4)
    assert suppress([Peak(0, 0, 0.9), near], 5) == [Peak(0, 0, 0.9)]
    assert suppress([Peak(0, 0, 0.9), far], 5) == [Peak(0, 0, 0.9), far]


@given(st.integers(1, 40), st.integers(1, 15), st.integers(1, 45), st.integers(0, 99))
def test_peaks_do_not_depend_on_the_height_of_bands(height: int, width: int, band_rows: int, seed: int) -> None:
    values = steps((height, width), seed)

    def read(box: Box) -> np.ndarray:
        return values[box.slices()]

    banded = find_map_peaks(read, values.shape, PeakSettings(0.2, radius_px=2.5, band_rows=band_rows))
    assert banded == suppress(find_peaks(values, floor=0.2), 2.5)


def test_an_empty_map_has_no_peaks() -> None:
    values = np.zeros((8, 8), np.float32)
    assert find_map_peaks(lambda box: values[box.slices()], (8, 8), PeakSettings(0.05, radius_px=3)) == []
