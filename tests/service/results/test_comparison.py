"""Laws of comparisons: who has what adds up, by the scanner's own rule, whatever the lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.matching import ScoredField, Verdict, match, missed_figures
from scanner.evaluation.rules import MIDOG
from service.results.comparison import MAX_COMPARED, RADIUS_UM, Compared, IncomparableError, compare
from service.results.results import Answer
from service.slides_in.region import Region

MPP = 0.5
SIDE = 200


def detection(number: int | str, place: tuple[float, float], score: float, *, border: bool = False) -> dict[str, Any]:
    x, y = place
    return {"id": str(number), "x": x, "y": y, "x_um": x * MPP, "y_um": y * MPP, "score": score, "border": border}


def side(found: list[dict[str, Any]], *, threshold: float = 0.5, slide: str = "a", region: Region = ()) -> Compared:
    """A result with these candidates."""
    found = sorted(found, key=lambda one: -one["score"])
    image = {"width": SIDE, "height": SIDE, "mpp": MPP, "index": 0}
    answer = Answer({}, image, len(found), threshold, 0.05, found, [], {}, [])
    return Compared(slide, answer, threshold, region)


PLACES = st.tuples(st.floats(0, SIDE - 1), st.floats(0, SIDE - 1))
SCORES = st.floats(0.05, 1)
LISTS = st.lists(st.tuples(PLACES, SCORES, st.booleans()), max_size=25).map(
    lambda drawn: [
        detection(number, place, score, border=border) for number, (place, score, border) in enumerate(drawn)
    ]
)


@given(LISTS, LISTS, st.floats(0, 1), st.floats(0, 1))
def test_who_has_what_is_what_the_scanner_says_is_right_and_missed(
    ours: list[dict], theirs: list[dict], threshold: float, other_threshold: float
) -> None:
    found = compare(side(ours, threshold=threshold), side(theirs, threshold=other_threshold))
    counted = [one for one in ours if one["score"] >= threshold and not one["border"]]
    others = [one for one in theirs if one["score"] >= other_threshold and not one["border"]]
    counted.sort(key=lambda one: -one["score"])
    assert [one["id"] for one in found.this] == [one["id"] for one in counted]
    assert {one["id"] for one in found.other} == {one["id"] for one in others}
    field = ScoredField(
        "field",
        "case",
        1.0,
        np.array([(one["y"], one["x"]) for one in found.this]).reshape(-1, 2) * MPP,
        np.array([one["score"] for one in found.this]),
        np.array([(one["y"], one["x"]) for one in found.other]).reshape(-1, 2) * MPP,
        np.zeros(len(found.other), bool),
    )
    verdicts = match(field, MIDOG)
    assert [partner >= 0 for partner in found.partners] == (verdicts == Verdict.RIGHT).tolist()
    assert len(found.other) - found.both == len(missed_figures(field, MIDOG, threshold=0.0))
    assert sorted(found.partner_of_other) == sorted(partner for partner in found.partners if partner >= 0)


@given(LISTS)
def test_a_result_has_all_that_it_has(found: list[dict]) -> None:
    same = compare(side(found), side(found))
    counted = sum(one["score"] >= 0.5 and not one["border"] for one in found)
    assert len(same.this) == len(same.other) == counted
    if all(np.hypot(a["x"] - b["x"], a["y"] - b["y"]) * MPP > RADIUS_UM for a in found for b in found if a is not b):
        assert same.both == counted


def test_near_is_the_rules_radius_in_micrometres() -> None:
    reach = RADIUS_UM / MPP
    for distance, both in ((reach, 1), (reach + 0.01, 0)):
        found = compare(side([detection(1, (50, 50), 0.9)]), side([detection(2, (50 + distance, 50), 0.8)]))
        assert (found.both, len(found.this), len(found.other)) == (both, 1, 1)


@pytest.mark.parametrize("is_ours", [True, False])
def test_beyond_a_region_nothing_is_compared(is_ours: bool) -> None:
    region = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0))
    inside, beyond = detection(1, (98, 50), 0.9), detection(2, (100, 50), 0.9)
    whole = side([inside, beyond, detection(3, (150, 150), 0.9)])
    part = side([detection(4, (98, 50), 0.7)], region=region)
    found = compare(part, whole) if is_ours else compare(whole, part)
    assert (found.both, len(found.this), len(found.other)) == (1, 1, 1)


def test_other_slides_and_endless_lists_are_not_compared() -> None:
    with pytest.raises(IncomparableError, match="different slides"):
        compare(side([]), side([], slide="b"))
    many = [detection(number, (number % SIDE, number // SIDE), 0.9) for number in range(MAX_COMPARED + 1)]
    with pytest.raises(IncomparableError, match=r"10001 detections reach 0\.5: choose a higher threshold"):
        compare(side([]), side(many))
