"""The list of jobs: what is asked of it, what is answered, and places in it as text."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from scanner.files.printable import printable
from service.jobs.job_rows import UnreadableJob
from service.jobs.lifecycle import Job, JobState
from service.jobs.summary import JobSummary, summary_fields
from service.problems import ReportedError
from service.review.marks import ReviewState
from service.review.worklist import TEXT_KEYS, ListedRow, Order, Place, SortKey, Wanted
from service.slides_in.store_slide import MAX_NAME

Sort = Literal[
    "created",
    "-created",
    "name",
    "-name",
    "case",
    "-case",
    "status",
    "-status",
    "count",
    "-count",
    "per_mm2",
    "-per_mm2",
    "reviewed",
    "-reviewed",
]
#: As PLAIN_TEXT of requests, or nothing.
SEARCH = r"^[^\x00-\x1f\x7f-\x9f]*$"
#: Characters of a cursor: room for the longest name.
MAX_CURSOR = 4096
#: No number that jobs are sorted by is larger.
MAX_VALUE = 1e15


class BadCursorError(ReportedError, ValueError):
    """A cursor is none that this list has given."""

    problem_type = "invalid-request"


class ListQuery(BaseModel):
    """Which jobs, in which order."""

    search: Annotated[
        str,
        Field(
            pattern=SEARCH,
            max_length=MAX_NAME,
            description="part of the name of the slide or of the case, in either case",
        ),
    ] = ""
    status: Annotated[JobState | None, Field(description="only jobs in this state")] = None
    state: Annotated[
        JobState | None, Field(description="older name of `status`", json_schema_extra={"deprecated": True})
    ] = None
    review: Annotated[
        ReviewState | None,
        Field(description="only jobs without verdicts, with detections still to be judged, or with every one judged"),
    ] = None
    before: Annotated[
        float | None, Field(ge=0, le=1e11, description="only jobs created before this time, in seconds since 1970")
    ] = None
    sort: Annotated[
        Sort,
        Field(description="`-`: falling; jobs without a value come last, either way; of equals the smaller id first"),
    ] = "-created"

    @property
    def order(self) -> Order:
        """The order that is asked for."""
        return Order(SortKey(self.sort.removeprefix("-")), is_falling=self.sort.startswith("-"))

    def wanted(self, client: str | None) -> Wanted:
        """Which jobs are asked for, of those of a client."""
        states = frozenset(JobState).intersection(*({one} for one in (self.status, self.state) if one))
        return Wanted(client, self.search, states, self.review, self.before)


class PageQuery(ListQuery):
    """Which part of the list."""

    limit: Annotated[int, Field(ge=1, le=1000, description="most jobs of an answer")] = 100
    cursor: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=MAX_CURSOR, description="where the page begins; `next` holds it"),
    ] = None


class ListedJob(JobSummary):
    """A job in the list, with what its result counts and how far its review is."""

    model_config = ConfigDict(protected_namespaces=())

    count: Annotated[
        int | None, Field(description="detections at the scan's threshold, without those at the slide's border")
    ] = None
    per_mm2: Annotated[float | None, Field(description="`count` per mm2 of tissue")] = None
    review: Annotated[
        ReviewState,
        Field(description="`none`: no verdicts; `started`: detections without one are left; `done`: all are judged"),
    ] = ReviewState.NONE
    reviewed: Annotated[int | None, Field(description="figures that count after the review")] = None
    reviewed_per_mm2: Annotated[float | None, Field(description="`reviewed` per mm2 of tissue")] = None


class UnreadableOut(BaseModel):
    """A job that was written by another version of the service and that this one cannot read."""

    id: str
    created_at: datetime


class JobList(BaseModel):
    """Jobs, newest first unless another order was asked for."""

    jobs: list[ListedJob]
    unreadable: Annotated[list[UnreadableOut], Field(description="jobs written by another version of the service")] = []
    total: Annotated[int, Field(description="number of jobs in the whole list, of this search and filter")] = 0
    offset: Annotated[int, Field(description="how many of them come before these")] = 0
    next: Annotated[str | None, Field(description="link to the next page")] = None
    previous: Annotated[str | None, Field(description="link to the page before")] = None


def listed_job(row: ListedRow) -> ListedJob | UnreadableOut:
    """A job in the list."""
    job = row.job
    if isinstance(job, UnreadableJob):
        return UnreadableOut(id=job.id, created_at=datetime.fromtimestamp(job.created_at, UTC))
    count = None if job.figures is None else job.figures.count
    return ListedJob(
        **summary_fields(job),
        count=count,
        per_mm2=_per_mm2(job, count),
        review=row.review,
        reviewed=row.reviewed,
        reviewed_per_mm2=_per_mm2(job, row.reviewed),
    )


def cursor_text(place: Place, order: Order) -> str:
    """A place in an order, as text that is not to be understood."""
    said = json.dumps([order.key, place.value, place.id, place.is_back], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def place_from(text: str, order: Order) -> Place:
    """The place of a cursor.

    Raises
    ------
    BadCursorError
        It is none, or one of another order.
    """
    try:
        key, value, job_id, is_back = json.loads(
            base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
        )
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise BadCursorError("cursor is none that this list has given: follow `next`, or leave it out") from error
    if key != order.key:
        raise BadCursorError(f"cursor belongs to a list by another order than {order.key}: leave it out")
    if not (_is_text(job_id) and isinstance(is_back, bool) and _fits(value, order)):
        raise BadCursorError("cursor is none that this list has given: follow `next`, or leave it out")
    return Place(value, job_id, is_back)


def _fits(value: object, order: Order) -> bool:
    if value is None:
        return True
    if order.key in TEXT_KEYS:
        return _is_text(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_VALUE


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == printable(value)


def _per_mm2(job: Job, count: int | None) -> float | None:
    if count is None or job.figures is None or not job.figures.counted_mm2:
        return None
    return round(count / job.figures.counted_mm2, 6)
