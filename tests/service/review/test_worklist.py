"""The list of jobs in SQL is what sorting and filtering them one by one gives, page by page, on SQLite and Postgres."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.jobs.database import make_engine, writing
from service.jobs.job_rows import fold, jobs, row_from_job
from service.jobs.lifecycle import Job, JobOptions, JobState, ScanRequest
from service.jobs.migrating import migrate_store
from service.results.results import Figures
from service.review.marks import Mark, ReviewState, Verdict, count_figures
from service.review.reviews import ReviewedResult, Reviews, reviews
from service.review.worklist import Order, Place, SortKey, Value, Wanted, Worklist, WorklistPage
from service.settings import Settings
from tests.service.own_postgres import run_postgres


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """An empty store."""
    folder = tmp_path_factory.mktemp("worklist")
    (folder / "postgres").mkdir()
    with run_postgres(folder / "postgres", wanted=request.param == "postgres") as environment:
        own = Settings(data=folder, database_url=environment.get("MITOSCAN_DATABASE_URL"))
        engine = make_engine(own.store_url)
        migrate_store(engine)
        yield engine
        engine.dispose()


@dataclass(frozen=True)
class Entry:
    """A job, and the counts of its review: verdicts, open, reviewed."""

    job: Job
    counts: tuple[int, int, int] | None

    @property
    def review(self) -> ReviewState:
        if self.counts is None or not self.counts[0]:
            return ReviewState.NONE
        return ReviewState.STARTED if self.counts[1] else ReviewState.DONE

    @property
    def reviewed(self) -> int | None:
        return self.counts[2] if self.counts and self.counts[0] else None


VALUES: dict[SortKey, Callable[[Entry], Value]] = {
    SortKey.CREATED: lambda one: one.job.created_at,
    SortKey.NAME: lambda one: fold(one.job.request.slide_name),
    SortKey.CASE: lambda one: fold(one.job.options.case),
    SortKey.STATUS: lambda one: str(one.job.state),
    SortKey.COUNT: lambda one: one.job.figures and one.job.figures.count,
    SortKey.PER_MM2: lambda one: per_mm2(one.job.figures),
    SortKey.REVIEWED: lambda one: one.reviewed,
}


def per_mm2(figures: Figures | None) -> float | None:
    return figures.count / figures.counted_mm2 if figures and figures.counted_mm2 else None


NAMES = st.text(st.sampled_from("aAbBzßÄä%_/\\'\U0001f52c 1"), max_size=4)
COUNTS = st.integers(0, 3)
FIGURES = st.none() | st.builds(Figures, COUNTS, st.sampled_from([0.0, 0.3, 1.0, 7.7]))


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    def entry(number: int) -> Entry:
        request = ScanRequest("s", "s", draw(NAMES), "tiny", "b")
        job = Job(
            f"j{number:02}", request, draw(st.sampled_from(["ann", "bob"])), draw(st.sampled_from([1.0, 2.5, 4.0]))
        )
        job = replace(job, options=JobOptions(case=draw(NAMES)), figures=draw(FIGURES))
        job = replace(job, state=draw(st.sampled_from(JobState)))
        return Entry(job, draw(st.none() | st.tuples(COUNTS, COUNTS, COUNTS)))

    return [entry(number) for number in range(draw(st.integers(0, 12)))]


WANTED = st.builds(
    Wanted,
    client=st.sampled_from([None, "ann"]),
    search=st.just("") | st.text(st.sampled_from("aAbßÄ%_/\\"), max_size=2),
    states=st.just(frozenset(JobState)) | st.sets(st.sampled_from(JobState), min_size=1).map(frozenset),
    review=st.none() | st.sampled_from(ReviewState),
    before=st.none() | st.just(3.0),
)
ORDERS = st.builds(Order, st.sampled_from(SortKey), st.booleans())
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def write(engine: sa.Engine, known: Sequence[Entry], *, keep: bool = False) -> None:
    with writing(engine) as connection:
        if not keep:
            connection.execute(jobs.delete())
        for one in known:
            connection.execute(jobs.insert().values(row_from_job(one.job, jobs.columns.keys())))
            if one.counts:
                counts = dict(zip(("verdicts", "open", "reviewed"), one.counts, strict=True))
                connection.execute(reviews.insert().values(job=one.job.id, result="{}", **counts))


def expected(known: Sequence[Entry], wanted: Wanted, order: Order) -> list[str]:
    """Ids, as the slow obvious program lists them."""
    value, part = VALUES[order.key], fold(wanted.search)
    found = [
        one
        for one in known
        if wanted.client in (None, one.job.client)
        and (part in fold(one.job.request.slide_name) or part in fold(one.job.options.case))
        and one.job.state in wanted.states
        and wanted.review in (None, one.review)
        and (wanted.before is None or one.job.created_at < wanted.before)
    ]
    has = sorted((one for one in found if value(one) is not None), key=lambda one: one.job.id)
    has.sort(key=value, reverse=order.is_falling)
    lacks = sorted(one.job.id for one in found if value(one) is None)
    return [one.job.id for one in has] + lacks


def ids_of(page: WorklistPage) -> list[str]:
    return [row.job.id for row in page.rows]


@FEW
@given(known=entries(), wanted=WANTED, order=ORDERS, limit=st.integers(1, 4))
def test_pages_make_the_list_forwards_and_backwards(
    engine: sa.Engine, known: list[Entry], wanted: Wanted, order: Order, limit: int
) -> None:
    write(engine, known)
    worklist, right = Worklist(engine), expected(known, wanted, order)
    seen, place, pages = list[str](), None, list[WorklistPage]()
    while True:
        page = worklist.page(wanted, order=order, place=place, limit=limit)
        assert (page.total, page.offset) == (len(right), len(seen))
        assert (page.previous is None) is (not seen)
        pages.append(page)
        seen += ids_of(page)
        place = page.next
        if place is None:
            break
    assert seen == right
    by_id = {one.job.id: one for one in known}
    assert all((row.review, row.reviewed) == counts_of(by_id[row.job.id]) for page in pages for row in page.rows)
    for earlier, later in reversed(list(itertools.pairwise(pages))):
        assert worklist.page(wanted, order=order, place=later.previous, limit=limit) == earlier


def counts_of(entry: Entry) -> tuple[ReviewState, int | None]:
    return entry.review, entry.reviewed


@FEW
@given(known=entries(), order=ORDERS, limit=st.integers(1, 4), data=st.data())
def test_what_arrives_or_goes_between_two_pages_moves_no_other(
    engine: sa.Engine, known: list[Entry], order: Order, limit: int, data: st.DataObject
) -> None:
    arriving = data.draw(st.sets(st.integers(0, len(known) - 1)) if known else st.just(set[int]()))
    going = data.draw(st.sets(st.integers(0, len(known) - 1)) if known else st.just(set[int]())) - arriving
    write(engine, [one for number, one in enumerate(known) if number not in arriving])
    worklist, wanted = Worklist(engine), Wanted()
    page = worklist.page(wanted, order=order, place=None, limit=limit)
    seen = ids_of(page)
    write(engine, [known[number] for number in arriving], keep=True)
    with writing(engine) as connection:
        connection.execute(jobs.delete().where(jobs.c.id.in_([known[number].job.id for number in going])))
    while page.next:
        page = worklist.page(wanted, order=order, place=page.next, limit=limit)
        seen += ids_of(page)
    assert len(set(seen)) == len(seen)
    staying = {one.job.id for number, one in enumerate(known) if number not in arriving | going}
    assert [one for one in seen if one in staying] == [one for one in expected(known, wanted, order) if one in staying]


RESULT = ReviewedResult(count=2, threshold=0.5, width=100, height=100, mpp=0.25, counted_mm2=1.0, label="mitosis")


def test_counts_of_a_review_are_kept_with_every_verdict(engine: sa.Engine) -> None:
    write(engine, [Entry(Job("a", ScanRequest("s", "s", "x", "tiny", "b"), "ann", 1.0), None)])
    own, worklist = Reviews(engine), Worklist(engine)

    def listed() -> tuple[ReviewState, int | None]:
        (row,) = worklist.page(Wanted(), order=Order(), place=None, limit=9).rows
        marks = own.marks("a")
        if marks:
            assert row.reviewed == count_figures(marks, model=2, mpp=0.25).reviewed
        return row.review, row.reviewed

    assert listed() == (ReviewState.NONE, None)
    first = Mark("d1", 1, 1, Verdict.REJECTED, "ann", 1.0, "mitosis", is_counted=True)
    second = replace(first, id="d2", verdict=Verdict.ACCEPTED)
    for mark, wanted in (
        (first, (ReviewState.STARTED, 1)),
        (replace(first, by="bob", at=2.0, verdict=Verdict.ACCEPTED), (ReviewState.STARTED, 2)),
        (second, (ReviewState.DONE, 2)),
        (replace(second, id="a1", verdict=Verdict.ADDED, is_counted=False, is_added=True), (ReviewState.DONE, 3)),
    ):
        own.put("a", mark, RESULT)
        assert listed() == wanted
    own.take_back("a", "d2", by="ann")
    assert listed() == (ReviewState.STARTED, 3)
    with writing(engine) as connection:  # As a version that did not keep them leaves a review.
        connection.execute(reviews.update().values(verdicts=None, open=None, reviewed=None))
    assert listed_state(worklist) is ReviewState.NONE
    own.count_older()
    assert listed() == (ReviewState.STARTED, 3)
    for mark in own.marks("a"):
        own.take_back("a", mark.id, by=mark.by)
    assert listed() == (ReviewState.NONE, None)


def listed_state(worklist: Worklist) -> ReviewState:
    return worklist.page(Wanted(), order=Order(), place=None, limit=1).rows[0].review


def test_a_page_after_the_last_job_is_empty(engine: sa.Engine) -> None:
    write(engine, [])
    page = Worklist(engine).page(Wanted(), order=Order(), place=Place(1.0, "a"), limit=3)
    assert page == WorklistPage((), 0, 0, None, None)
