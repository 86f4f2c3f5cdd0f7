"""The tables of reviews, beside that of the jobs: they outlive the files of a result, and go with its job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.jobs.database import metadata, reading, writing
from service.jobs.store import JobNotFoundError
from service.problems import ReportedError
from service.review.marks import Mark, Verdict, count_figures, newest

#: Most marks of one job.
MAX_MARKS = 100_000

reviews = sa.Table(
    "mitoscan_reviews",
    metadata,
    sa.Column("job", sa.String(64), sa.ForeignKey("mitoscan_jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("result", sa.Text, nullable=False),  # A ReviewedResult as JSON.
    # What follows from the marks, for lists: how many figures somebody has judged, and the counts of ReviewCount.
    sa.Column("verdicts", sa.Integer),
    sa.Column("open", sa.Integer),
    sa.Column("reviewed", sa.Integer),
)
_marks = sa.Table(
    "mitoscan_marks",
    metadata,
    sa.Column("job", sa.String(64), sa.ForeignKey("mitoscan_jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("by", sa.String(160), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("label", sa.String(64), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("x", sa.Double, nullable=False),
    sa.Column("y", sa.Double, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("is_counted", sa.Boolean, nullable=False),
    sa.Column("is_added", sa.Boolean, nullable=False),
)


class MarkNotFoundError(ReportedError, LookupError):
    """The result has no such detection or candidate, and no reviewer added such a figure."""

    problem_type = "mark-not-found"


class ReviewFullError(ReportedError):
    """The review has as many marks as one may have."""

    problem_type = "review-full"


@dataclass(frozen=True)
class ReviewedResult:
    """What is kept of a result with its review, should its files be removed."""

    #: What the model counts, at the scan's threshold.
    count: int
    threshold: float
    #: Of the slide, level-0 px, and micrometres of one.
    width: int
    height: int
    mpp: float
    #: Tissue that figures are counted in.
    counted_mm2: float
    label: str


class Reviews:
    """Reads and writes reviews."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def put(self, job_id: str, mark: Mark, result: ReviewedResult) -> None:
        """Write the verdict of one reviewer, in place of an earlier one of theirs on the same mark.

        Raises
        ------
        ReviewFullError
            The job has MAX_MARKS.
        JobNotFoundError
            The job has been deleted meanwhile.
        """
        row = asdict(mark) | {"job": job_id, "verdict": str(mark.verdict)}
        marking = self._insert(_marks).values(row)
        marking = marking.on_conflict_do_update(index_elements=["job", "id", "by"], set_=row)
        opening = self._insert(reviews).values(job=job_id, result=json.dumps(asdict(result)))
        try:
            with writing(self._engine) as connection:
                connection.execute(opening.on_conflict_do_nothing())
                _lock(connection, job_id)
                connection.execute(marking)
                _recount(connection, job_id)
        except sa.exc.IntegrityError as error:
            raise JobNotFoundError(f"no job {job_id!r}") from error

    def take_back(self, job_id: str, mark_id: str, *, by: str) -> None:
        """Remove what this reviewer has said of a mark.

        Raises
        ------
        MarkNotFoundError
            They have said nothing of it.
        """
        own = (_marks.c.job == job_id) & (_marks.c.id == mark_id) & (_marks.c.by == by)
        with writing(self._engine) as connection:
            _lock(connection, job_id)
            if not connection.execute(_marks.delete().where(own)).rowcount:
                raise MarkNotFoundError(f"{by!r} has no verdict on {mark_id!r}")
            _recount(connection, job_id)

    def marks(self, job_id: str) -> list[Mark]:
        """All verdicts on a result, the oldest first."""
        with reading(self._engine) as connection:
            return _marks_of(connection, job_id)

    def find(self, job_id: str, mark_id: str) -> Mark | None:
        """What any reviewer has said of a mark, if one has."""
        query = sa.select(_marks).where((_marks.c.job == job_id) & (_marks.c.id == mark_id)).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _mark(dict(row))

    def result(self, job_id: str) -> ReviewedResult | None:
        """What was kept of the result when its review began; None if there is no review."""
        query = sa.select(reviews.c.result).where(reviews.c.job == job_id)
        with reading(self._engine) as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else ReviewedResult(**json.loads(found))

    def reviewed_of(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the jobs that somebody has reviewed."""
        query = sa.select(reviews.c.job).where(reviews.c.job.in_(list(job_ids)))
        with reading(self._engine) as connection:
            return set(connection.execute(query).scalars())

    def count_older(self) -> None:
        """Count the reviews of versions that did not keep their counts."""
        with reading(self._engine) as connection:
            older = list(connection.execute(sa.select(reviews.c.job).where(reviews.c.verdicts.is_(None))).scalars())
        for job_id in older:
            with writing(self._engine) as connection:
                _lock(connection, job_id)
                _recount(connection, job_id)


def _lock(connection: sa.Connection, job_id: str) -> None:
    """Let one transaction at a time change a review: its counts are those of all its marks. SQLite does so anyway."""
    connection.execute(sa.select(reviews.c.job).where(reviews.c.job == job_id).with_for_update())


def _recount(connection: sa.Connection, job_id: str) -> None:
    """Keep with a review what follows from its marks."""
    kept = connection.execute(sa.select(reviews.c.result).where(reviews.c.job == job_id)).scalar_one_or_none()
    if kept is None:  # Its job has been deleted.
        return
    result, marks = ReviewedResult(**json.loads(kept)), _marks_of(connection, job_id)
    if len(marks) > MAX_MARKS:
        raise ReviewFullError(f"a review has at most {MAX_MARKS:,} marks")
    count = count_figures(marks, model=result.count, mpp=result.mpp)
    counts = {"verdicts": len(newest(marks)), "open": count.open, "reviewed": count.reviewed}
    connection.execute(reviews.update().where(reviews.c.job == job_id).values(counts))


def _marks_of(connection: sa.Connection, job_id: str) -> list[Mark]:
    query = sa.select(_marks).where(_marks.c.job == job_id).order_by(_marks.c.at, _marks.c.id, _marks.c.by)
    return [_mark(dict(row)) for row in connection.execute(query).mappings()]


def _mark(row: dict[str, Any]) -> Mark:
    known = {field.name: row[field.name] for field in fields(Mark)}
    return Mark(**known | {"verdict": Verdict(row["verdict"])})
