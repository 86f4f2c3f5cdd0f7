"""The table of jobs, and jobs as its rows and back; rows of other versions that cannot be read are recognised."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import sqlalchemy as sa

from scanner.files.printable import printable
from service.jobs.database import metadata
from service.jobs.delivery import Delivery, DeliveryState
from service.jobs.lifecycle import Fetch, Job, JobOptions, JobProgress, JobState, Priority, ScanRequest
from service.problems import ReportedError
from service.results.results import Figures

jobs = sa.Table(
    "mitoscan_jobs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("client", sa.String(128), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, index=True),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(128)),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("cached", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("result_key", sa.String(64), nullable=False, index=True),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("slide", sa.Text, index=True),  # Copied from `request`, to find the jobs that use a file.
    sa.Column("tiles_done", sa.Integer, nullable=False),
    sa.Column("tiles_total", sa.Integer, nullable=False),
    sa.Column("mm2_done", sa.Double, nullable=False),
    sa.Column("mm2_total", sa.Double, nullable=False),
    sa.Column("reason", sa.String(128)),  # Type of the problem, for counting.
    sa.Column("problem", sa.Text),
    sa.Column("name_key", sa.Text),  # Name and case as they are searched and sorted, by `fold`.
    sa.Column("case_key", sa.Text),
    sa.Column("count", sa.Integer),  # Of a job that has succeeded; null in jobs of versions that did not store it.
    sa.Column("counted_mm2", sa.Double),
    sa.UniqueConstraint("client", "idempotency_key"),
)


class UnreadableJobError(ReportedError):
    """Another version of mitoscan has written this job."""

    problem_type = "job-unreadable"


@dataclass(frozen=True)
class UnreadableJob:
    """What is known of a job that this version cannot read."""

    id: str
    client: str
    created_at: float


def row_from_job(job: Job, columns: list[str]) -> dict[str, Any]:
    """The row of a job: its own fields that have a column, and the rest as JSON."""
    row = {name: getattr(job, name) for name in columns if hasattr(job, name)}
    return row | {
        "state": str(job.state),
        "result_key": job.request.result_key,
        "slide": job.request.slide,
        "request": json.dumps(
            job.request.fields()
            | {"options": asdict(job.options), "fetch": job.fetch and asdict(job.fetch)}
            | ({"delivery": asdict(job.delivery)} if job.delivery else {})  # Older versions read a job without it.
        ),
        "reason": str(job.problem["type"]) if job.problem else None,
        "problem": json.dumps(job.problem) if job.problem else None,
        "name_key": fold(job.request.slide_name),
        "case_key": fold(job.options.case),
        "count": job.figures and job.figures.count,
        "counted_mm2": job.figures and job.figures.counted_mm2,
        **asdict(job.progress),
    }


def fold(text: str) -> str:
    """Text as it is searched and sorted: without regard to upper and lower case, or to how an accent is written."""
    return unicodedata.normalize("NFC", printable(text)).casefold()


def job_from_row(row: sa.RowMapping | dict[str, Any]) -> Job:
    """The job of a row.

    Raises
    ------
    UnreadableJobError
        The row has a value that this version does not know and that may affect the result.
    """
    try:
        return _job_from_row(dict(row))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableJobError(
            f"job {row['id']!r} was written by another version of mitoscan and cannot be read by this one: {error}"
        ) from error


def read_row(row: sa.RowMapping | dict[str, Any]) -> Job | UnreadableJob:
    """The job of a row, readable or not."""
    try:
        return job_from_row(row)
    except UnreadableJobError:
        return UnreadableJob(row["id"], row["client"], row["created_at"])


def _job_from_row(fields: dict[str, Any]) -> Job:
    del fields["result_key"], fields["reason"], fields["slide"], fields["name_key"], fields["case_key"]
    count, counted_mm2 = fields.pop("count"), fields.pop("counted_mm2")
    fields["figures"] = None if count is None else Figures(count, counted_mm2)
    fields["state"] = JobState(fields["state"])
    request = json.loads(fields["request"])
    options = _known(
        JobOptions, request.pop("options", {})
    )  # Unknown options are ignored: options never affect the result.
    fetch, delivery = request.pop("fetch", None), request.pop("delivery", None)
    fields["fetch"] = Fetch(**_known(Fetch, fetch)) if fetch else None
    fields["delivery"] = _delivery(_known(Delivery, delivery)) if delivery else None
    fields["options"] = JobOptions(**options | {"priority": Priority(options.get("priority", Priority.NORMAL))})
    region = tuple((float(x), float(y)) for x, y in request.get("region", ()))
    fields["request"] = ScanRequest(**request | {"exports": tuple(request.get("exports", ())), "region": region})
    fields["progress"] = JobProgress(**{part.name: fields.pop(part.name) for part in dataclass_fields(JobProgress)})
    fields["problem"] = json.loads(fields["problem"]) if fields["problem"] else None
    return Job(**fields)


def _delivery(said: dict[str, Any]) -> Delivery:
    return Delivery(**said | {"state": DeliveryState(said["state"])})


def _known(kind: type, said: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclass_fields(kind)}
    return {name: value for name, value in said.items() if name in names}
