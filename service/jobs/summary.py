"""The summary of a job, without its result: for lists, events and webhooks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.delivery import Delivery, DeliveryState
from service.jobs.lifecycle import Job, JobState, Priority
from service.proxies import link
from service.results.results import EXPORT_FILES, FILES, ZARR
from service.slides_in.region import REGION_FILE


class ProgressOut(BaseModel):
    """Progress of a scan."""

    tiles_done: int
    tiles_total: int
    mm2_done: float
    mm2_total: float
    eta_s: Annotated[float | None, Field(description="estimated seconds left")] = None
    bytes_done: Annotated[
        int | None, Field(description="bytes fetched so far of a slide at a URL; null afterwards")
    ] = None
    bytes_total: Annotated[int | None, Field(description="size of that slide, if known")] = None


class ProblemOut(BaseModel):
    """An RFC 9457 problem."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str | None = None


class DeliveryOut(BaseModel):
    """Annotations on their way to a DICOMweb server."""

    status: Annotated[
        DeliveryState,
        Field(description="`waiting`, `stored`, `empty` (a result without candidates has no annotations) or `failed`"),
    ]
    attempts: int = 0
    at: Annotated[datetime | None, Field(description="time of the last attempt")] = None
    url: Annotated[str | None, Field(description="where the server says that the annotations are")] = None
    detail: Annotated[str | None, Field(description="why the last attempt has failed")] = None


class JobSummary(BaseModel):
    """A job in a list."""

    id: str
    status: JobState
    name: Annotated[str, Field(description="name of the slide")]
    case: Annotated[str, Field(description="name of the case that the slide belongs to")] = ""
    model_name: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    priority: Priority
    rescan_of: Annotated[
        str | None, Field(description="id of the job of the same slide, of which this one scans a region only")
    ] = None
    cached: Annotated[bool, Field(description="true if the result of an earlier job was reused")] = False
    cancel_requested: bool = False
    attempt: Annotated[int, Field(description="number of times that a worker has started the job")] = 0
    progress: ProgressOut
    stored: Annotated[
        DeliveryOut | None, Field(description="what became of the annotations, if the job has `store`")
    ] = None
    problem: Annotated[ProblemOut | None, Field(description="why the job has failed")] = None
    links: dict[str, str]

    model_config = ConfigDict(protected_namespaces=())


def summary_from_job(job: Job) -> JobSummary:
    """A job in a list."""
    return JobSummary(**summary_fields(job))


def summary_fields(job: Job) -> dict[str, Any]:
    """The fields of JobSummary, for models that extend it."""
    return {
        "id": job.id,
        "status": job.state,
        "name": job.request.slide_name,
        "case": job.options.case,
        "model_name": job.request.model,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "priority": job.options.priority,
        "rescan_of": job.options.rescan_of or None,
        "cached": job.cached,
        "cancel_requested": job.cancel_requested,
        "attempt": job.attempt,
        "progress": _progress(job),
        "stored": _delivery(job),
        "problem": job.problem,
        "links": links_of(job),
    }


def links_of(job: Job) -> dict[str, str]:
    """Links to everything of a job."""
    here = link(f"/jobs/{job.id}")
    links = {"self": here, "events": f"{here}/events", "view": f"{here}/view", "siblings": f"{here}/siblings"}
    if job.options.rescan_of:
        links["parent"] = link(f"/jobs/{job.options.rescan_of}")
    if job.state is JobState.SUCCEEDED:
        asked = [name for export in job.request.exports for name in EXPORT_FILES.get(export, [ZARR])]
        links |= {"detections": f"{here}/detections", "files": f"{here}/files"}
        regions = [REGION_FILE] if job.request.region else []
        links |= {name: link_to_file(job, name) for name in [*FILES, *asked, *regions]}
        links["review"] = f"{here}/review"
    return links


def shown_name(job: Job) -> str:
    """The slide and its case, as pages and pictures call them."""
    case = job.options.case
    return f"{case} \N{MIDDLE DOT} {job.request.slide_name}" if case else job.request.slide_name


def link_to_file(job: Job, name: str) -> str:
    """Link to a file of a job's result."""
    return link(f"/jobs/{job.id}/files/{name}")


def _progress(job: Job) -> ProgressOut:
    progress = ProgressOut(**vars(job.progress), eta_s=_eta_s(job))
    if not job.awaits_slide:
        return progress
    assert job.fetch
    return progress.model_copy(update={"bytes_done": job.fetch.bytes_done, "bytes_total": job.fetch.bytes_total})


def _delivery(job: Job) -> DeliveryOut | None:
    """None if there is nothing to deliver, or never will be."""
    if job.options.store is None or (job.state.is_final and job.state is not JobState.SUCCEEDED):
        return None
    done = job.delivery or Delivery()
    return DeliveryOut(status=done.state, attempts=done.attempts, at=_time(done.at), url=done.url, detail=done.detail)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _eta_s(job: Job) -> float | None:
    done, total = job.progress.tiles_done, job.progress.tiles_total
    if job.state is not JobState.RUNNING or job.started_at is None or not 0 < done <= total:
        return None
    elapsed = datetime.now(UTC).timestamp() - job.started_at
    return round(elapsed * (total - done) / done, 1)
