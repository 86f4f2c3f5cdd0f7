from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree

from scanner.detections.detection import Detection
from scanner.detections.hotspots import counts_by_threshold, find_hotspots, mitotic_count
from scanner.errors import SettingsError
from scanner.geometry.circles import _turn_around, best_circle, within_circle
from scanner.geometry.frames import Box, Frame
from scanner.geometry.windows import Shape, Window, window_from_text
from scanner.survey.tissue import TissueMask, full_tissue

#: 100 x 150 px of 10 um: 1.5 mm2.
FRAME = Frame(100, 150, level0_mpp=10.0, grid_mpp=10.0, stride=1)
TISSUE = full_tissue(FRAME)

PLACES = st.lists(st.tuples(st.floats(-0.5, 99.5), st.floats(-0.5, 149.5)), max_size=30)
INTEGER_PLACES = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 149)), max_size=30)


def at(row: float, col: float, *, border: bool = False) -> Detection:
    return Detection(row, col, row * 10, col * 10, 0.9, "mitosis", border)


def count_in(box: Box, places: list[tuple[float, float]]) -> int:
    return sum(box.top <= row < box.bottom and box.left <= col < box.right for row, col in places)


def best_of_all(places: list[tuple[float, float]], height: int, width: int) -> int:
    """The most places in any window: tried out, one after the other."""
    rows, cols = (np.floor(np.array(values)).astype(int) for values in zip(*places, strict=True))
    counts = np.zeros((100, 150), int)
    np.add.at(counts, (rows, cols), 1)
    sums = np.pad(counts.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return int(windows.max())


@given(INTEGER_PLACES, st.sampled_from([0.01, 0.04, 0.25, 0.9]), st.sampled_from([1.0, 4 / 3]))
def test_no_window_holds_more_than_the_hotspot(places: list[tuple[int, int]], area_mm2: float, aspect: float) -> None:
    hotspots = find_hotspots([at(*place) for place in places], TISSUE, window=Window(area_mm2, aspect=aspect))
    assert bool(hotspots) == bool(places)
    for hotspot in hotspots:
        assert hotspot.count == best_of_all(places, *Window(area_mm2, aspect=aspect).size_px(FRAME))


@given(PLACES, st.sampled_from([0.01, 0.25, 1.4, 5.0]))
def test_a_hotspot_lies_on_the_slide_and_holds_what_it_counts(
    places: list[tuple[float, float]], area_mm2: float
) -> None:
    places = [(max(0.0, row), max(0.0, col)) for row, col in places]
    for hotspot in find_hotspots([at(*place) for place in places], TISSUE, window=Window(area_mm2)):
        assert hotspot.box == hotspot.box.clipped(100, 150)
        assert hotspot.count == count_in(hotspot.box, places)
        assert hotspot.area_mm2 == pytest.approx(min(area_mm2, FRAME.area_mm2), rel=0.05)  # whole pixels


def test_a_hotspot_has_its_detections_in_its_middle() -> None:
    (hotspot,) = find_hotspots([at(40, 60), at(44, 70)], TISSUE, window=Window(0.09))
    assert hotspot.box == Box(27, 50, 57, 80)
    assert hotspot.count == 2


def test_detections_on_the_border_make_no_hotspot() -> None:
    found = [at(0, 10, border=True), at(0, 12, border=True), at(50, 50)]
    (hotspot,) = find_hotspots(found, TISSUE, window=Window(0.01))
    assert hotspot.count == 1
    assert find_hotspots(found[:2], TISSUE) == ()


def test_a_slide_smaller_than_the_window_is_the_window() -> None:
    (hotspot,) = find_hotspots([at(3, 4)], TISSUE, window=Window(2.0))
    assert hotspot.box == Box(0, 0, 100, 150)
    assert hotspot.area_mm2 == pytest.approx(1.5)
    assert hotspot.per_mm2 == pytest.approx(1 / 1.5)


def test_a_narrow_slide_gets_a_longer_window() -> None:
    frame = Frame(10, 1000, level0_mpp=10.0, grid_mpp=10.0, stride=1)  # 0.1 x 10 mm
    assert Window(0.5).size_px(frame) == (10, 500)
    assert Window(0.5).size_px(Frame(1000, 10, level0_mpp=10.0, grid_mpp=10.0, stride=1)) == (500, 10)


def test_windows_have_their_area_and_shape() -> None:
    frame = Frame(80_000, 100_000, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    assert Window(2.0).size_px(frame) == (5657, 5657)
    height, width = Window(2.0, aspect=4 / 3).size_px(frame)
    assert width / height == pytest.approx(4 / 3, rel=1e-3)
    assert height * width * 0.25**2 / 1e6 == pytest.approx(2.0, rel=1e-3)


def test_the_density_refers_to_the_window_and_to_the_tissue_in_it() -> None:
    is_tissue = np.ones_like(TISSUE.values)
    is_tissue[:, 75:] = False
    half = TissueMask(is_tissue, is_tissue, TISSUE.mask_mpp, FRAME)
    (hotspot,) = find_hotspots([at(50, 60), at(50, 89)], half, window=Window(0.09))
    assert hotspot.box == Box(35, 60, 65, 90)
    assert hotspot.tissue_mm2 == pytest.approx(0.045)
    assert hotspot.per_mm2 == pytest.approx(2 / 0.09)
    assert hotspot.per_tissue_mm2 == pytest.approx(2 / 0.045)


def test_further_hotspots_share_no_detections() -> None:
    found = [at(10, 10), at(12, 12), at(14, 14), at(80, 120), at(82, 122), at(50, 60)]
    hotspots = find_hotspots(found, TISSUE, window=Window(0.01), top=5)
    assert [hotspot.count for hotspot in hotspots] == [3, 2, 1]


@given(st.permutations([(20, 20), (20, 90), (70, 20), (70, 90)]))
def test_ties_do_not_depend_on_the_order_of_detections(places: list[tuple[int, int]]) -> None:
    (hotspot,) = find_hotspots([at(*place) for place in places], TISSUE, window=Window(0.01))
    assert count_in(hotspot.box, [(20, 20)]) == 1


def test_the_mitotic_count_leaves_the_border_out() -> None:
    found = mitotic_count([at(50, 50), at(60, 60), at(0, 0, border=True)], TISSUE, margin_um=15)
    area_mm2 = (1 - 2 * 0.015) * (1.5 - 2 * 0.015)
    assert (found.count, found.area_mm2, found.per_mm2) == (2, pytest.approx(area_mm2), pytest.approx(2 / area_mm2))


def test_a_slide_that_is_all_border_has_no_density() -> None:
    found = mitotic_count([at(0, 0, border=True)], TISSUE, margin_um=600)
    assert (found.count, found.area_mm2, found.per_mm2) == (0, 0, 0)


def test_no_tissue_has_no_density() -> None:
    nothing = np.zeros_like(TISSUE.values)
    assert mitotic_count([], TissueMask(nothing, nothing, TISSUE.mask_mpp, FRAME), margin_um=0).per_mm2 == 0


@given(INTEGER_PLACES, st.sampled_from([0.01, 0.04, 0.25]))
def test_further_hotspots_are_the_best_that_overlap_none_before(places: list[tuple[int, int]], area_mm2: float) -> None:
    height, width = Window(area_mm2).size_px(FRAME)
    hotspots = find_hotspots([at(*place) for place in places], TISSUE, window=Window(area_mm2), top=3)
    counts = np.zeros((100, 150), int)
    np.add.at(counts, tuple(np.array(places, int).reshape(-1, 2).T), 1)
    sums = np.pad(counts.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    for hotspot in hotspots:
        box = hotspot.box
        assert hotspot.count == windows.max() == windows[box.top, box.left]
        windows[max(0, box.top - height + 1) : box.bottom, max(0, box.left - width + 1) : box.right] = -1
    assert len(hotspots) == 3 or windows.max() <= 0


def test_counts_fall_as_the_threshold_rises() -> None:
    scores = (0.9, 0.7, 0.7, 0.2)
    found = [replace(at(50, 10 + 10 * index), score=score) for index, score in enumerate(scores)]
    table = counts_by_threshold([*found, at(0, 0, border=True)], TISSUE, [0.7, 0.1, 0.95, 0.7], margin_um=0)
    assert [(row.threshold, row.count) for row in table] == [(0.1, 4), (0.7, 3), (0.95, 0)]
    assert table[0].per_mm2 == pytest.approx(4 / 1.5)


def distances(centre: tuple[float, float], places: list[tuple[int, int]]) -> np.ndarray:
    return np.hypot(*(np.array(places, float) - centre).T)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 149)), min_size=1, max_size=12))
def test_no_circle_through_two_detections_holds_more_than_the_circle_found(places: list[tuple[int, int]]) -> None:
    window = Window(0.04, Shape.CIRCLE)  # Radius 11.28 px.
    radius = window.radius_um / 10
    (hotspot,) = find_hotspots([at(*place) for place in places], TISSUE, window=window)
    centres = [np.array(place, float) for place in places]
    for one in np.array(places, float):
        for other in np.array(places, float):
            half = (other - one) / 2
            length = np.hypot(*half)
            if 0 < length < radius:
                across = np.array([-half[1], half[0]]) / length * np.sqrt(radius**2 - length**2)
                centres += [one + half + across, one + half - across]
    assert hotspot.count == max((distances(centre, places) <= radius + 1e-6).sum() for centre in centres)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 149)), min_size=1, max_size=40))
def test_circles_do_not_overlap_and_share_no_detections(places: list[tuple[int, int]]) -> None:
    window = Window(0.04, Shape.CIRCLE)
    hotspots = find_hotspots([at(*place) for place in places], TISSUE, window=window, top=4)
    counts = [hotspot.count for hotspot in hotspots]
    assert counts == sorted(counts, reverse=True)
    centres = [((spot.box.top + spot.box.bottom) / 2, (spot.box.left + spot.box.right) / 2) for spot in hotspots]
    apart = [np.hypot(*np.subtract(one, other)) for i, one in enumerate(centres) for other in centres[:i]]
    assert all(distance > 2 * window.radius_um / 10 - 2 for distance in apart)  # Boxes are whole pixels.
    for spot, centre in zip(hotspots, centres, strict=True):
        near = distances((centre[0] - 0.5, centre[1] - 0.5), places)
        assert (near < window.radius_um / 10 - 1).sum() <= spot.count <= (near < window.radius_um / 10 + 1).sum()


def test_a_circle_has_its_area_on_the_slide_and_in_the_tissue() -> None:
    is_tissue = np.ones_like(TISSUE.values)
    is_tissue[:, TISSUE.values.shape[1] // 2 :] = False
    half = TissueMask(is_tissue, is_tissue, TISSUE.mask_mpp, FRAME)
    circle = Window(0.3, Shape.CIRCLE)
    (hotspot,) = find_hotspots([at(45, 69.5), at(55, 79.5)], half, window=circle)
    assert hotspot.area_mm2 == pytest.approx(0.3, rel=0.01)
    assert hotspot.tissue_mm2 == pytest.approx(0.15, rel=0.02)
    (edge,) = find_hotspots([at(0, 0), at(1, 1)], TISSUE, window=Window(20, Shape.CIRCLE))
    assert (edge.count, edge.area_mm2) == (2, pytest.approx(1.5))


def test_presets_are_the_areas_that_pathologists_know() -> None:
    assert window_from_text("2mm2") == Window(2.0)
    assert window_from_text("10hpf").area_mm2 == pytest.approx(2.37)
    height, width = window_from_text("10hpf").size_px(Frame(80_000, 100_000, 0.25, 0.25, 4))
    assert (width / height, height * width * 0.25**2 / 1e6) == (
        pytest.approx(4 / 3, rel=1e-3),
        pytest.approx(2.37, rel=1e-3),
    )
    assert window_from_text("circle") == Window(2.0, Shape.CIRCLE)
    assert window_from_text("0.5") == Window(0.5)


@pytest.mark.parametrize("text", ["", "ten", "0", "-1", "nan", "inf", "1e9"])
def test_other_windows_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"2mm2, 10hpf, circle or an area"):
        window_from_text(text)


@given(st.integers(0, 2**32 - 1))
def test_many_detections_are_narrowed_down_to_the_same_count(seed: int) -> None:
    # A cluster, in which bounds are of little help, against turning circles around every detection.
    places = np.random.default_rng(seed).normal(50, 12, (60, 2)).round(1)
    radius = 9.0
    centre = best_circle(places, radius)
    assert centre is not None
    tree = KDTree(places)
    expected = max(int(_turn_around(place, tree, radius, ())[0].max()) for place in places)
    assert within_circle(places, centre, radius).sum() == expected
