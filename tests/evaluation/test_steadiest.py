from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.curves import count_at
from scanner.evaluation.cutouts import ScoredCutouts
from scanner.evaluation.rules import MITOS14
from scanner.evaluation.steadiest import (
    curves_of_cases,
    curves_of_scanners,
    steadiest_threshold,
    threshold_at_rate,
    worst_group,
)
from scanner.evaluation.unlabelled import UnlabelledTissue, wrong_per_mm2
from tests.evaluation.test_curves import SCORES, line_of

CASES = st.lists(st.tuples(SCORES, st.integers(1, 8)), max_size=3)
SCANNERS = st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.6, 0.9]), min_size=1, max_size=6), max_size=2)
#: Every threshold that tells the scores of these tests apart.
ALL_THRESHOLDS = np.arange(1, 100) / 100


def tissue_of(scores, area_mm2=1.0):
    return UnlabelledTissue(-np.sort(-np.array(scores, dtype=np.float64)), area_mm2)


def groups_of(cases, scanners):
    fields = [replace(line_of(*one), case=f"case{index}") for index, one in enumerate(cases)]
    cutouts = [ScoredCutouts(f"scanner{index}", (np.array(one),)) for index, one in enumerate(scanners)]
    return fields, cutouts, curves_of_cases(fields, MITOS14) + curves_of_scanners(cutouts)


@given(CASES, SCANNERS, st.sampled_from(ALL_THRESHOLDS))
def test_merits_are_f1_of_cases_and_recall_of_scanners(cases, scanners, threshold):
    fields, cutouts, groups = groups_of(cases, scanners)
    merits = {one.name: one.merits_at(np.array([threshold]))[0] for one in groups}
    for field in fields:
        # A case without figures has no F1 that a threshold could raise.
        if field.count:
            assert merits.pop(field.case) == pytest.approx(count_at([field], MITOS14, threshold=threshold).f1)
    for one in cutouts:
        assert merits.pop(one.scanner) == pytest.approx(one.found_at(threshold).recall)
    assert merits == {}


@given(CASES, SCANNERS, SCORES, st.sampled_from([0.0, 1.0, 2.5, 10.0]))
def test_no_threshold_that_keeps_the_bound_is_better_for_the_worst(cases, scanners, unlabelled, most):
    _, _, groups = groups_of(cases, scanners)
    tissue = [tissue_of(unlabelled)]
    chosen = steadiest_threshold(groups, tissue, most_per_mm2=most)
    assert wrong_per_mm2(tissue, threshold=chosen) <= most
    if groups:
        reached = worst_group(groups, chosen)[1]
        for threshold in ALL_THRESHOLDS:
            if wrong_per_mm2(tissue, threshold=threshold) <= most:
                assert worst_group(groups, threshold)[1] <= reached + 1e-12
    assert chosen == steadiest_threshold(groups[::-1], tissue, most_per_mm2=most)


@given(st.lists(SCORES, max_size=3), st.floats(0, 10))
def test_the_threshold_of_a_rate_is_the_lowest_that_keeps_it(scores, most):
    tissue = [tissue_of(one) for one in scores]
    threshold = threshold_at_rate(tissue, most_per_mm2=most)
    assert wrong_per_mm2(tissue, threshold=threshold) <= most
    if threshold > 0:
        assert wrong_per_mm2(tissue, threshold=np.nextafter(threshold, 0)) > most


def test_a_small_case_that_fails_outweighs_a_large_one():
    large = replace(line_of([0.9] * 20 + [0.3] * 5, 20), case="large")
    small = replace(line_of([0.4], 1), case="small")
    groups = curves_of_cases([large, small], MITOS14)
    assert steadiest_threshold(groups) == pytest.approx(0.35)  # Pooled F1 is best at 0.4 and hardly falls at 0.9.
    assert worst_group(groups, 0.9) == ("small", 0.0)


def test_a_case_that_no_threshold_helps_leaves_the_choice_to_the_others():
    hopeless = replace(line_of([], 0), figures=np.zeros((1, 2)), uncounted=np.zeros(1, bool), case="hopeless")
    other = replace(line_of([0.9, 0.8, 0.7, 0.2], 3), case="other")
    groups = curves_of_cases([hopeless, other], MITOS14)
    assert [one.name for one in groups] == ["hopeless", "other"]
    assert steadiest_threshold(groups) == pytest.approx(0.45)


def test_recall_alone_is_held_by_unlabelled_tissue():
    groups = curves_of_scanners([ScoredCutouts("x", (np.array([0.9, 0.2]),))])
    assert steadiest_threshold(groups) == pytest.approx(0.1)
    tissue = [tissue_of([0.5, 0.3])]
    chosen = steadiest_threshold(groups, tissue, most_per_mm2=1)
    assert 0.3 < chosen <= 0.9
    assert steadiest_threshold([], tissue, most_per_mm2=1) == np.nextafter(0.3, 1)
