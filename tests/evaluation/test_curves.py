from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.curves import Counts, best_threshold, count_at, interval_of_f1, trace_curve
from scanner.evaluation.rules import MITOS14
from tests.evaluation.test_matching import make_field

SCORES = st.lists(st.sampled_from([0.1, 0.2, 0.35, 0.5, 0.8, 0.95]), max_size=10)


def line_of(scores, figures):
    """Detections 100 um apart, the first `figures` of them on a figure each."""
    places = [(0.0, 100.0 * i) for i in range(len(scores))]
    order = np.argsort(-np.array(scores), kind="stable")
    on_figures = [(0.0, 100.0 * i) for i in range(figures)]
    return make_field([places[i] for i in order], on_figures, scores=[scores[i] for i in order])


@given(SCORES, st.integers(0, 10), SCORES, st.integers(0, 10))
def test_the_curve_holds_the_counts_at_every_threshold(first, first_figures, second, second_figures):
    fields = [line_of(first, first_figures), line_of(second, second_figures)]
    curve = trace_curve(fields, MITOS14)
    for index, threshold in enumerate(curve.thresholds):
        counts = count_at(fields, MITOS14, threshold=threshold)
        assert (curve.right[index], curve.wrong[index], curve.figures) == (counts.right, counts.wrong, counts.figures)
        assert curve.f1[index] == counts.f1
    assert (np.diff(curve.thresholds) < 0).all()


def test_figures_of_a_hand_worked_example():
    field = line_of([0.9, 0.5, 0.3], 2)
    field = make_field(field.detections[[0, 2, 1]], [*field.figures, (500.0, 0.0)], scores=[0.9, 0.5, 0.3])
    curve = trace_curve([field], MITOS14)  # right, wrong, right; three figures
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 2 / 3])
    assert curve.average_precision == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert Counts(2, 1, 3).f1 == pytest.approx(2 / 3)


def test_a_perfect_detector_has_area_one_and_an_interval_of_one():
    fields = [line_of([0.9, 0.8], 2), line_of([0.7], 1)]
    assert trace_curve(fields, MITOS14).average_precision == pytest.approx(1.0)
    assert interval_of_f1(fields, MITOS14, threshold=0.5) == (1.0, 1.0)


@given(SCORES.filter(bool), st.integers(1, 10))
def test_the_chosen_threshold_is_hardly_worse_than_the_best(scores, figures):
    fields = [line_of(scores, figures)]
    curve = trace_curve(fields, MITOS14)
    chosen = count_at(fields, MITOS14, threshold=best_threshold(curve, spread=0.03))
    assert chosen.f1 >= curve.f1.max() - 0.03 - 1e-9


def test_where_nothing_wrong_is_found_the_threshold_leaves_room_below():
    # On a new field the same figures may score a little less.
    assert best_threshold(trace_curve([line_of([0.8, 0.95], 2)], MITOS14)) == 0.4
    assert best_threshold(trace_curve([line_of([0.8, 0.95, 0.1], 2)], MITOS14)) == 0.8


def test_nothing_found_is_a_result():
    curve = trace_curve([line_of([], 3)], MITOS14)
    assert curve.average_precision == 0
    assert best_threshold(curve) == 0.5
    assert count_at([line_of([], 3)], MITOS14, threshold=0.5).f1 == 0
