from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.curves import Counts, best_threshold, count_at, trace_curve
from scanner.evaluation.rules import MITOS14
from scanner.evaluation.transfer import leave_one_case_out
from tests.evaluation.test_curves import line_of

SCORES = st.lists(st.sampled_from([0.1, 0.2, 0.35, 0.5, 0.8, 0.95]), max_size=8)


def case(name, scores, figures):
    return replace(line_of(scores, figures), case=name)


@given(st.lists(st.tuples(SCORES, st.integers(0, 8)), min_size=2, max_size=4))
def test_each_case_is_counted_at_the_threshold_of_the_others(drawn):
    fields = [case(f"case{index}", *one) for index, one in enumerate(drawn)]
    transfer = leave_one_case_out(fields, MITOS14)
    for one, own in zip(transfer.cases, fields, strict=True):
        others = [field for field in fields if field is not own]
        assert one.threshold == best_threshold(trace_curve(others, MITOS14))
        assert one.counts == count_at([own], MITOS14, threshold=one.threshold)
        assert one.best.f1 >= one.counts.f1
    assert transfer.pooled.figures == sum(field.count for field in fields)


def test_a_case_with_other_scores_loses_what_its_own_threshold_would_give():
    fields = [case("A", [0.9, 0.8, 0.2], 2), case("B", [0.9, 0.8, 0.2], 2), case("C", [0.3, 0.3, 0.1], 2)]
    transfer = leave_one_case_out(fields, MITOS14)
    assert [one.counts for one in transfer.cases[:2]] == [Counts(2, 0, 2)] * 2
    assert transfer.cases[2].counts == Counts(0, 0, 2)
    assert transfer.best == Counts(6, 0, 6)
    low, high = transfer.interval
    assert transfer.pooled.f1 == pytest.approx(8 / 10)
    assert low < transfer.pooled.f1 < high
