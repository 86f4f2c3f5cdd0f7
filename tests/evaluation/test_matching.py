from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.matching import ScoredField, Verdict, assign, match, missed_figures, pair_up
from scanner.evaluation.rules import MIDOG, MITOS12, MITOS14, Rule

COORDINATE = st.floats(0, 60, allow_nan=False)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), max_size=8)


def make_field(detections, figures, *, scores=None, uncounted=None) -> ScoredField:
    detections = np.array(detections, dtype=np.float64).reshape(-1, 2)
    figures = np.array(figures, dtype=np.float64).reshape(-1, 2)
    scores = np.linspace(0.9, 0.1, len(detections)) if scores is None else np.array(scores)
    uncounted = np.zeros(len(figures), bool) if uncounted is None else np.array(uncounted)
    return ScoredField("field", "case", 1.0, detections, scores, figures, uncounted)


@given(POINTS, POINTS, st.sampled_from([MITOS12, MITOS14, MIDOG]))
def test_right_detections_are_near_and_no_figure_is_used_twice(detections, figures, rule):
    field = make_field(detections, figures)
    assigned = assign(field, rule)
    used = assigned[assigned >= 0]
    assert len(set(used.tolist())) == len(used)
    distance = np.linalg.norm(field.detections[assigned >= 0] - field.figures[used], axis=1)
    np.testing.assert_array_less(distance, rule.radius_um + 1e-9)


GRID = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30)


@given(st.one_of(POINTS, GRID), st.one_of(POINTS, GRID), st.sampled_from([5.0, 7.5, 8.0]))
def test_pairs_are_those_of_comparing_each_with_each(places, partners, radius_um):
    places, partners = (np.array(points, dtype=np.float64).reshape(-1, 2) for points in (places, partners))
    free, expected = list(range(len(partners))), []
    for place in places:
        distances = {index: float(np.linalg.norm(partners[index] - place)) for index in free}
        near = [index for index in free if distances[index] <= radius_um]
        expected.append(min(near, key=lambda index: (distances[index], index)) if near else -1)
        free = [index for index in free if index != expected[-1]]
    assert pair_up(places, partners, radius_um=radius_um).tolist() == expected


@given(POINTS, POINTS)
def test_a_wrong_detection_has_no_free_figure_within_reach(detections, figures):
    field = make_field(detections, figures)
    assigned = assign(field, MITOS14)
    for index in np.flatnonzero(assigned < 0):
        taken = set(assigned[:index].tolist())
        near = np.flatnonzero(np.linalg.norm(field.figures - field.detections[index], axis=1) <= MITOS14.radius_um)
        assert set(near.tolist()) <= taken


@given(POINTS, POINTS, st.integers(0, 8))
def test_matches_at_a_threshold_are_those_of_all_detections_cut_off(detections, figures, kept):
    field = make_field(detections, figures)
    fewer = make_field(detections[:kept], figures, scores=field.scores[:kept])
    np.testing.assert_array_equal(match(field, MIDOG)[:kept], match(fewer, MIDOG))


@given(POINTS, POINTS)
def test_a_larger_radius_never_finds_less_of_a_lone_figure(detections, figures):
    field = make_field(detections, figures[:1])
    near, far = (int((match(field, Rule("r", radius)) == Verdict.RIGHT).sum()) for radius in (5.0, 8.0))
    assert near <= far


def test_the_better_of_two_detections_takes_the_figure():
    field = make_field([(10, 10), (10, 12)], [(10, 12)])
    assert match(field, MITOS14).tolist() == [Verdict.RIGHT, Verdict.WRONG]


@pytest.mark.parametrize(("rule", "verdict"), [(MITOS12, 0), (MIDOG, 0), (MITOS14, 1)])
def test_radii_of_the_contests(rule, verdict):
    assert match(make_field([(0, 7.8)], [(0, 0)]), rule).tolist() == [verdict]


def test_what_a_figure_at_the_border_explains_is_neither_right_nor_wrong():
    field = make_field([(4, 10), (30, 30)], [(1, 10), (50, 50)], uncounted=[True, False])
    assert match(field, MITOS14).tolist() == [Verdict.NOT_COUNTED, Verdict.WRONG]
    assert field.count == 1
    np.testing.assert_array_equal(missed_figures(field, MITOS14, threshold=0.0), [[50, 50]])


def test_missed_figures_are_those_without_a_right_detection_above_the_threshold():
    field = make_field([(0, 0), (20, 20)], [(0, 1), (20, 21)], scores=[0.9, 0.3])
    np.testing.assert_array_equal(missed_figures(field, MITOS14, threshold=0.5), [[20, 21]])
    assert not len(missed_figures(field, MITOS14, threshold=0.2))
