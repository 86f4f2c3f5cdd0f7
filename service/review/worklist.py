"""The worklist: jobs with what their results count and how far their reviews are, searched, sorted and paged in SQL.

A page begins after a place in the order, not after a number of jobs: what arrives or goes meanwhile moves no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from service.jobs.database import reading
from service.jobs.job_rows import UnreadableJob, fold, jobs, read_row
from service.jobs.lifecycle import Job, JobState
from service.review.marks import ReviewState
from service.review.reviews import reviews

#: What jobs are sorted by.
Value = str | float | None
Key = sa.ColumnElement[Any]


class SortKey(StrEnum):
    """What the list can be sorted by; jobs without a value come last, either way."""

    CREATED = "created"
    NAME = "name"
    CASE = "case"
    STATUS = "status"
    COUNT = "count"
    PER_MM2 = "per_mm2"
    REVIEWED = "reviewed"


#: Those whose values are text.
TEXT_KEYS = {SortKey.NAME, SortKey.CASE, SortKey.STATUS}


@dataclass(frozen=True)
class Order:
    """An order of jobs; of equals, the smaller id comes first."""

    key: SortKey = SortKey.CREATED
    is_falling: bool = True


@dataclass(frozen=True)
class Place:
    """A place in an order: that of a job, there or not. A page begins after it, or, going back, ends before it."""

    value: Value
    id: str
    is_back: bool = False


@dataclass(frozen=True)
class Wanted:
    """Which jobs to list."""

    #: Name of the client whose jobs they are; None: of all.
    client: str | None = None
    #: Part of the name of the slide or of the case, in upper or lower case.
    search: str = ""
    states: frozenset[JobState] = frozenset(JobState)
    review: ReviewState | None = None
    #: Only jobs created before this time, seconds since 1970.
    before: float | None = None
    #: Only jobs with these ids.
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ListedRow:
    """A job in the list."""

    job: Job | UnreadableJob
    review: ReviewState
    #: Figures that count after the review; None without one.
    reviewed: int | None
    #: Its value in the order of the list.
    value: Value


@dataclass(frozen=True)
class WorklistPage:
    """Some jobs of the list, in order."""

    rows: tuple[ListedRow, ...]
    #: Jobs of the whole list.
    total: int
    #: How many of them come before these.
    offset: int
    #: Where the page after this one begins; None: there is none.
    next: Place | None
    #: Where the page before this one ends; None: there is none.
    previous: Place | None


class Worklist:
    """Reads the list."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        per_mm2 = sa.cast(jobs.c.count, sa.Double) / sa.func.nullif(jobs.c.counted_mm2, 0)
        # Postgres would sort text by the rules of some language, SQLite by code points: here both do the latter.
        names = [column.collate("C") if engine.dialect.name == "postgresql" else column for column in _names]
        self._keys: dict[SortKey, Key] = {
            SortKey.CREATED: jobs.c.created_at,
            SortKey.NAME: names[0],
            SortKey.CASE: names[1],
            SortKey.STATUS: names[2],
            SortKey.COUNT: jobs.c.count,
            SortKey.PER_MM2: per_mm2,
            SortKey.REVIEWED: _reviewed,
        }

    def page(self, wanted: Wanted, *, order: Order, place: Place | None, limit: int) -> WorklistPage:
        """The jobs after, or before, a place; from the first one on without a place."""
        key, conditions = self._keys[order.key], _conditions(wanted)
        is_back = place is not None and place.is_back
        query = sa.select(jobs, _state.label("review_state"), _reviewed.label("review_count"), key.label("sort_value"))
        query = query.select_from(_joined).where(*conditions).order_by(*_ordering(key, order, is_back=is_back))
        if place is not None:
            query = query.where(_beyond(key, order, place, is_back=is_back))
        counting = sa.select(sa.func.count()).select_from(_joined).where(*conditions)
        with reading(self._engine) as connection:
            rows = [_listed(row) for row in connection.execute(query.limit(limit + 1)).mappings()]
            total = connection.execute(counting).scalar_one()
            has_more, rows = len(rows) > limit, rows[:limit]
            if is_back:
                rows.reverse()
            if not rows:
                return WorklistPage((), total, 0, None, None)
            first, last = (Place(row.value, row.job.id) for row in (rows[0], rows[-1]))
            offset = connection.execute(counting.where(_beyond(key, order, first, is_back=True))).scalar_one()
        goes_on = offset + len(rows) < total if is_back else has_more
        comes_before = has_more if is_back else offset > 0
        return WorklistPage(
            tuple(rows),
            total,
            offset,
            last if goes_on else None,
            Place(first.value, first.id, is_back=True) if comes_before else None,
        )


_names = (jobs.c.name_key, jobs.c.case_key, jobs.c.state)
_joined = jobs.outerjoin(reviews, reviews.c.job == jobs.c.id)
_has_verdicts = sa.func.coalesce(reviews.c.verdicts, 0) > 0
_state = sa.case(
    (sa.not_(_has_verdicts), str(ReviewState.NONE)),
    (reviews.c.open > 0, str(ReviewState.STARTED)),
    else_=str(ReviewState.DONE),
)
#: None where all verdicts have been taken back.
_reviewed = sa.case((_has_verdicts, reviews.c.reviewed))


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.client is not None:
        found.append(jobs.c.client == wanted.client)
    if part := fold(wanted.search):
        found.append(sa.or_(*(column.contains(part, autoescape=True) for column in (jobs.c.name_key, jobs.c.case_key))))
    if wanted.states != frozenset(JobState):  # Jobs of another version may be in a state of its own.
        found.append(jobs.c.state.in_(sorted(wanted.states)))
    if wanted.review is not None:
        found.append(_state == str(wanted.review))
    if wanted.before is not None:
        found.append(jobs.c.created_at < wanted.before)
    if wanted.ids is not None:
        found.append(jobs.c.id.in_(wanted.ids))
    return found


def _ordering(key: Key, order: Order, *, is_back: bool) -> list[Key]:
    lacking = key.is_(None)
    is_falling = order.is_falling != is_back
    return [
        lacking.desc() if is_back else lacking.asc(),
        key.desc() if is_falling else key.asc(),
        jobs.c.id.desc() if is_back else jobs.c.id.asc(),
    ]


def _beyond(key: Key, order: Order, place: Place, *, is_back: bool) -> sa.ColumnElement[bool]:
    """True of jobs after a place, or before it."""
    by_id = jobs.c.id < place.id if is_back else jobs.c.id > place.id
    if place.value is None:
        tie = key.is_(None) & by_id
        return tie | key.is_not(None) if is_back else tie
    is_further = key < place.value if order.is_falling != is_back else key > place.value
    beyond = is_further | ((key == place.value) & by_id)
    return beyond if is_back else beyond | key.is_(None)


def _listed(row: sa.RowMapping) -> ListedRow:
    columns = {column.name: row[column.name] for column in jobs.columns}
    return ListedRow(read_row(columns), ReviewState(row["review_state"]), row["review_count"], row["sort_value"])
