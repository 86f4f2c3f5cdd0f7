"""Laws of the counts that follow from a review."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detections.detection import id_of_place
from service.results.results import Answer
from service.review.marks import SAME_FIGURE_UM, Mark, Verdict, agreements, cohens_kappa, count_figures, newest
from service.review.reviewed import (
    ReviewedFigure,
    geojson_text,
    kept_of,
    mark_of_candidate,
    reviewed_figures,
    table_text,
)
from service.review.reviews import MarkNotFoundError

MPP, THRESHOLD = 0.25, 0.5
REVIEWERS = ("anna", "bert")


def answer_of(candidates: Iterable[tuple[float, bool]]) -> Answer:
    """A result with candidates of these scores, each at the border or not."""
    listed = [
        {"id": id_of_place(7, 100 * place, "mitosis"), "x": 100 * place, "y": 7, "x_um": 25 * place, "y_um": 1.75}
        | {"score": score, "label": "mitosis", "border": border}
        for place, (score, border) in enumerate(candidates)
    ]
    count = sum(one["score"] >= THRESHOLD and not one["border"] for one in listed)
    image = {"width": 10_000, "height": 1000, "mpp": MPP, "mpp_source": "file"}
    return Answer({}, image, count, THRESHOLD, 0.02, listed, [], {"tissue": 2.0, "counted": 1.6}, [])


def judged(answer: Answer, index: int, verdict: Verdict, by: str, at: float) -> Mark:
    mark = mark_of_candidate(answer, answer.candidates[index]["id"])
    return Mark(**vars(mark) | {"verdict": verdict, "by": by, "at": at})


def added(x: float, by: str, at: float, verdict: Verdict = Verdict.ADDED) -> Mark:
    return Mark(id_of_place(500, x, "added"), x, 500, verdict, by, at, "mitosis", is_added=True)


@st.composite
def reviews(draw: st.DrawFn) -> tuple[Answer, list[Mark]]:
    """A result, and what two reviewers say of it in turn: one verdict each on a mark."""
    answer = answer_of(draw(st.lists(st.tuples(st.floats(0.02, 1), st.booleans()), max_size=6)))
    said: dict[tuple[str, str], Mark] = {}
    verdicts = st.sampled_from([Verdict.ACCEPTED, Verdict.REJECTED, Verdict.UNSURE])
    for at in range(draw(st.integers(0, 12))):
        by = draw(st.sampled_from(REVIEWERS))
        if answer.candidates and draw(st.booleans()):
            mark = judged(answer, draw(st.integers(0, len(answer.candidates) - 1)), draw(verdicts), by, at)
        else:
            mark = added(draw(st.integers(0, 5)) * 10.0, by, at, draw(st.one_of(st.just(Verdict.ADDED), verdicts)))
        said[mark.id, by] = mark
    return answer, list(said.values())


@given(reviews())
def test_the_count_is_that_of_the_figures_in_the_files(review: tuple[Answer, list[Mark]]) -> None:
    answer, marks = review
    count = count_figures(marks, model=answer.count, mpp=MPP)
    figures = reviewed_figures(answer, marks)
    assert count.reviewed == len(figures)
    assert count.model == answer.count
    assert 0 <= count.open <= count.model
    rows = list(csv.DictReader(io.StringIO(table_text(figures, mpp=MPP))))
    features = json.loads(geojson_text(figures, origin=(0, 0)))["features"]
    ids = [one.id for one in figures]
    assert [row["id"] for row in rows] == ids == [feature["id"] for feature in features]
    assert len(set(ids)) == len(ids)


@given(reviews(), st.randoms())
def test_the_order_in_which_verdicts_are_read_says_nothing(review: tuple[Answer, list[Mark]], random: object) -> None:
    answer, marks = review
    shuffled = [*marks]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert newest(shuffled) == newest(marks)
    assert count_figures(shuffled, model=answer.count, mpp=MPP) == count_figures(marks, model=answer.count, mpp=MPP)


def test_what_the_contract_says_counts() -> None:
    answer = answer_of([(0.9, False), (0.8, False), (0.7, True), (0.3, False), (0.2, False)])
    assert answer.count == 2
    marks = [
        judged(answer, 0, Verdict.REJECTED, "anna", 1),
        judged(answer, 3, Verdict.ACCEPTED, "anna", 2),
        judged(answer, 4, Verdict.REJECTED, "anna", 3),
        added(50, "anna", 4),
    ]
    count = count_figures(marks, model=answer.count, mpp=MPP)
    assert (count.model, count.reviewed, count.open) == (2, 3, 1)


def test_the_newest_verdict_counts_and_a_figure_added_by_two_is_one() -> None:
    answer = answer_of([(0.9, False)])
    marks = [judged(answer, 0, Verdict.REJECTED, "anna", 1), judged(answer, 0, Verdict.ACCEPTED, "bert", 2)]
    assert count_figures(marks, model=1, mpp=MPP).reviewed == 1
    near = SAME_FIGURE_UM / MPP
    twice = [added(50, "anna", 1), added(50 + near, "bert", 2)]
    assert count_figures(twice, model=0, mpp=MPP).reviewed == 1
    assert count_figures([added(50, "anna", 1), added(51 + near, "bert", 2)], model=0, mpp=MPP).reviewed == 2
    assert count_figures([added(50, "anna", 1), added(60, "anna", 2)], model=0, mpp=MPP).reviewed == 2


def test_kappa_of_counts_worked_by_hand() -> None:
    # 20 and 15 agreed of 50; 25 and 30 figures: (0.7 - 0.5) / (1 - 0.5).
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_kappa_is_symmetric_and_1_where_readers_always_agree(pairs: list[tuple[bool, bool]]) -> None:
    own, turned = cohens_kappa(pairs), cohens_kappa([(second, first) for first, second in pairs])
    assert own == pytest.approx(turned, abs=1e-12) if own is not None else turned is None
    assert own is None or own <= 1
    always = cohens_kappa([(first, first) for first, _ in pairs])
    assert always in (None, 1.0)


def test_reviewers_differ_where_one_sees_a_figure_and_the_other_none() -> None:
    answer = answer_of([(0.9, False), (0.8, False), (0.7, False)])
    marks = [judged(answer, index, Verdict.ACCEPTED, "anna", index) for index in range(3)]
    marks += [judged(answer, 0, Verdict.ACCEPTED, "bert", 5), judged(answer, 1, Verdict.REJECTED, "bert", 6)]
    (agreement,) = agreements(marks)
    assert (agreement.reviewers, agreement.both) == (REVIEWERS, 2)
    assert agreement.differ == (answer.candidates[1]["id"],)
    assert agreements(marks[:3]) == []


def test_a_cell_of_the_table_is_no_formula() -> None:
    answer = answer_of([(0.9, False)])
    mark = judged(answer, 0, Verdict.ACCEPTED, "=anna", 1)
    (row,) = csv.DictReader(io.StringIO(table_text(reviewed_figures(answer, [mark]), mpp=MPP)))
    assert row["by"] == "'=anna"
    assert isinstance(reviewed_figures(answer, [mark])[0], ReviewedFigure)


def test_an_unknown_candidate_is_no_mark() -> None:
    with pytest.raises(MarkNotFoundError, match="no detection or candidate 'x'"):
        mark_of_candidate(answer_of([]), "x")
    assert kept_of(answer_of([])).label == "mitosis"
