from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.curves import trace_curve
from scanner.evaluation.describe import describe_intervals
from scanner.evaluation.intervals import (
    RESAMPLINGS,
    average_precisions,
    draw_groups,
    interval_of_average_precision,
    interval_of_share,
)
from scanner.evaluation.matching import Verdict, match
from scanner.evaluation.rules import MITOS14
from tests.evaluation.test_curves import SCORES, line_of


@given(st.integers(1, 8))
def test_each_resampling_holds_as_many_groups_as_there_are(count):
    times = draw_groups(count)
    assert times.shape == (RESAMPLINGS, count)
    assert (times.sum(axis=1) == count).all()
    np.testing.assert_array_equal(times, draw_groups(count))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=5))
def test_the_interval_of_a_share_lies_within_that_of_its_groups(pairs):
    parts, wholes = zip(*pairs, strict=True)
    low, high = interval_of_share(parts, wholes)
    shares = [part / whole for part, whole in pairs]
    assert min(shares) - 1e-9 <= low <= high <= max(shares) + 1e-9


def test_of_several_models_the_mean_share_is_meant():
    parts, wholes = np.array([[1, 3, 0], [2, 2, 2]]), np.array([[2, 4, 3], [2, 4, 8]])
    assert interval_of_share(parts[[0, 0]], wholes[[0, 0]]) == pytest.approx(interval_of_share(parts[0], wholes[0]))
    low, high = interval_of_share(parts, wholes)
    times = draw_groups(3)
    shares = (times @ parts.T) / (times @ wholes.T)
    assert (low, high) == pytest.approx(tuple(np.quantile(shares.mean(axis=1), [0.025, 0.975])))


def test_equal_groups_leave_no_doubt_and_none_leave_nothing():
    assert interval_of_share([1, 1, 1], [2, 2, 2]) == (0.5, 0.5)
    assert interval_of_share([], []) == (0.0, 0.0)
    assert interval_of_share([0, 1], [0, 1])[0] == 0.0  # Some resamplings hold the first group alone.


@given(
    st.lists(st.tuples(SCORES, st.integers(0, 6)), min_size=1, max_size=3),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_a_resampled_average_precision_is_that_of_the_fields_repeated(drawn, times):
    fields = [line_of(*one) for one in drawn]
    times = times[: len(fields)]
    scores = np.concatenate([one.scores for one in fields])
    is_right = np.concatenate([match(one, MITOS14) == Verdict.RIGHT for one in fields])
    groups = np.repeat(np.arange(len(fields)), [len(one.scores) for one in fields])
    figures = np.array([one.count for one in fields], np.float64)
    (found,) = average_precisions(scores, is_right, groups, figures=figures, times=np.array([times]))
    repeated = [one for one, count in zip(fields, times, strict=True) for _ in range(count)]
    assert found == pytest.approx(trace_curve(repeated, MITOS14).average_precision)


def test_the_interval_of_the_average_precision_has_no_width_for_equal_groups():
    scores, is_right, groups = np.array([0.9, 0.8] * 3), np.array([True, False] * 3), np.repeat(np.arange(3), 2)
    assert interval_of_average_precision(scores, is_right, groups, [1, 1, 1]) == (1.0, 1.0)


def test_patients_are_resampled_and_fields_where_there_is_one_patient():
    twins = [replace(line_of([0.9, 0.8], 1), case=case) for case in ("H03", "A03", "H04")]
    assert describe_intervals(twins, MITOS14, threshold=0.5)["groups"] == 2
    report = describe_intervals(twins[:2], MITOS14, threshold=0.5)
    assert (report["over"], report["groups"]) == ("fields", 2)
    assert report["precision"] == [0.5, 0.5]
    assert report["wrong_per_mm2"] == [1.0, 1.0]
