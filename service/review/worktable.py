"""The list of jobs as a table, for spreadsheets and statistics."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from service.jobs.job_rows import UnreadableJob
from service.jobs.lifecycle import Job
from service.review.reviewed import text_cell
from service.review.worklist import ListedRow

COLUMNS = (
    "id",
    "name",
    "case",
    "status",
    "model",
    "count",
    "per_mm2",
    "review",
    "reviewed",
    "reviewed_per_mm2",
    "counted_mm2",
    "created_at",
    "finished_at",
    "problem",
    "rescan_of",
)


def table_lines(rows: Iterable[ListedRow]) -> Iterator[str]:
    """The table, line by line."""
    yield _line(COLUMNS)
    for row in rows:
        yield _line(_cells(row.job, row))


def _cells(job: Job | UnreadableJob, row: ListedRow) -> tuple[str, ...]:
    if isinstance(job, UnreadableJob):
        empty = [""] * (len(COLUMNS) - 4)
        return (job.id, *empty[:10], _time(job.created_at), "", "written by another version of the service", "")
    count, mm2 = (job.figures.count, job.figures.counted_mm2) if job.figures else (None, None)
    return (
        job.id,
        text_cell(job.request.slide_name),
        text_cell(job.options.case),
        str(job.state),
        text_cell(job.request.model),
        _number(count),
        _per_mm2(count, mm2),
        str(row.review),
        _number(row.reviewed),
        _per_mm2(row.reviewed, mm2),
        "" if mm2 is None else f"{mm2:.6f}",
        _time(job.created_at),
        _time(job.finished_at),
        text_cell(str(job.problem["title"])) if job.problem else "",
        job.options.rescan_of,
    )


def _number(count: int | None) -> str:
    return "" if count is None else str(count)


def _per_mm2(count: int | None, mm2: float | None) -> str:
    return f"{count / mm2:.6f}" if count is not None and mm2 else ""


def _time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
