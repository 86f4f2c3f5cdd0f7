"""What goes over the wire, as pydantic models: the HTTP door and nothing behind it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.job_rows import UnreadableJob
from service.jobs.lifecycle import Job, JobState, Priority
from service.results.results import EXPORT_FILES, FILES, ZARR, Answer

RESEARCH_USE = "Research use only. Not a medical device: no result may decide about a patient."


class DetectionOut(BaseModel):
    """One figure: its centre in level-0 pixels from the top left (pixel centres are integers), and in micrometres."""

    x: float
    y: float
    x_um: float
    y_um: float
    score: Annotated[float, Field(description="Smoothed value of the map, 0 to 1; not a calibrated probability")]
    label: str
    border: Annotated[bool, Field(description="Rests on mirrored tissue at the slide's edge; not counted")] = False


class ModelRef(BaseModel):
    """The model that was used."""

    name: str
    version: str
    sha256: str


class FileImageOut(BaseModel):
    """One image of a slide's file."""

    index: Annotated[int, Field(description="as the query `image` takes it")]
    name: Annotated[str, Field(description="what the file calls it")]
    kind: Annotated[str, Field(description="`image`, or `overview`: a label, macro picture, thumbnail or mask")]
    width: Annotated[int | None, Field(description="level-0 pixels")]
    height: Annotated[int | None, Field(description="level-0 pixels")]
    mpp: Annotated[float | None, Field(description="as the file states it")]


class ImageOut(BaseModel):
    """The slide as it was read."""

    width: Annotated[int, Field(description="level-0 pixels")]
    height: Annotated[int, Field(description="level-0 pixels")]
    mpp: Annotated[float, Field(description="micrometres per level-0 pixel")]
    mpp_source: Annotated[str, Field(description="where mpp comes from; 'assumed' if the image does not say")]
    name: Annotated[str, Field(description="what the client called it")]
    index: Annotated[int, Field(description="which image of the file was scanned")] = 0
    images: Annotated[list[FileImageOut], Field(description="all images of the file")] = []


class ProgressOut(BaseModel):
    """How far a scan is."""

    tiles_done: int
    tiles_total: int
    mm2_done: float
    mm2_total: float
    eta_s: Annotated[float | None, Field(description="seconds to go, by the pace so far")] = None
    bytes_done: Annotated[int | None, Field(description="of a slide that is being fetched; null once it is here")] = (
        None
    )
    bytes_total: Annotated[int | None, Field(description="of a slide that is being fetched, if known")] = None


class ProblemOut(BaseModel):
    """An RFC 9457 problem."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str | None = None


class JobSummary(BaseModel):
    """A job in a list."""

    id: str
    status: JobState
    name: Annotated[str, Field(description="what the client called the slide")]
    case: Annotated[str, Field(description="the case that it belongs to, as the client calls it")] = ""
    model_name: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    priority: Priority
    cached: Annotated[bool, Field(description="True if the answer was known from an earlier job")] = False
    cancel_requested: bool = False
    attempt: Annotated[int, Field(description="how often a worker has started it")] = 0
    progress: ProgressOut
    problem: Annotated[ProblemOut | None, Field(description="why it failed")] = None
    links: dict[str, str]

    model_config = ConfigDict(protected_namespaces=())


class JobOut(JobSummary):
    """A job, and once it has succeeded its result."""

    model: ModelRef
    image: ImageOut | None = None
    count: Annotated[int | None, Field(description="detections that count: those away from the slide's edge")] = None
    threshold: float | None = None
    detections: list[DetectionOut] | None = None
    hotspots: list[dict[str, Any]] | None = None
    area_mm2: dict[str, Any] | None = None
    warnings: list[str] = []


class UnreadableOut(BaseModel):
    """A job that another version of the service has written, in a way that this one cannot read."""

    id: str
    created_at: datetime


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobSummary]
    unreadable: Annotated[list[UnreadableOut], Field(description="jobs that only another version can show")] = []
    next: Annotated[str | None, Field(description="where the list goes on")] = None


class DetectionsOut(BaseModel):
    """A result at another threshold."""

    id: str
    threshold: float
    candidate_floor: Annotated[float, Field(description="candidates with a lower score are not kept")]
    count: Annotated[int, Field(description="detections that count: those away from the slide's edge")]
    detections: list[DetectionOut]


class FileOut(BaseModel):
    """A file of a result."""

    name: str
    bytes: int
    media_type: str
    link: str


class FileList(BaseModel):
    """The files of a result."""

    files: list[FileOut]
    zarr: Annotated[str | None, Field(description="address of the map as OME-Zarr, if it was asked for")] = None


class UploadOut(BaseModel):
    """An upload that jobs can name as their source."""

    id: str
    name: str
    bytes: int
    width: int | None
    height: int | None


class ModelsOut(BaseModel):
    """The models offered."""

    notice: str = RESEARCH_USE
    default: str
    models: list[dict[str, Any]]


class HealthOut(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """What a scan needs, piece by piece."""

    status: Literal["ready", "not ready"]
    checks: dict[str, bool]


def list_from_rows(rows: Sequence[Job | UnreadableJob], rest: str | None) -> JobList:
    """A list of jobs, and of those that only another version can show."""
    jobs = [summary_from_job(row) for row in rows if isinstance(row, Job)]
    others = [row for row in rows if isinstance(row, UnreadableJob)]
    unreadable = [UnreadableOut(id=row.id, created_at=datetime.fromtimestamp(row.created_at, UTC)) for row in others]
    return JobList(jobs=jobs, unreadable=unreadable, next=rest)


def summary_from_job(job: Job) -> JobSummary:
    """A job in a list."""
    return JobSummary(**_common(job))


def job_out(job: Job, answer: Answer | None) -> JobOut:
    """A job with its result, if it has one."""
    request = job.request
    if answer is None:
        model = ModelRef(name=request.model, version="", sha256=request.model_sha256)
        return JobOut(**_common(job), model=model)
    pictures = [f"hotspot-{rank}.png" for rank in range(1, len(answer.hotspots) + 1)]
    common = _common(job)
    common["links"] |= {name: link_to_file(job, name) for name in pictures}
    return JobOut(
        **common,
        model=ModelRef(**answer.model),
        image=ImageOut(**answer.image, name=request.slide_name),
        count=answer.count,
        threshold=answer.threshold,
        detections=[DetectionOut(**detection) for detection in answer.detections()],
        hotspots=answer.hotspots,
        area_mm2=answer.area_mm2,
        warnings=answer.warnings,
    )


def detections_out(job: Job, answer: Answer, threshold: float | None) -> DetectionsOut:
    """A result at a threshold."""
    found = answer.detections(threshold)
    return DetectionsOut(
        id=job.id,
        threshold=answer.threshold if threshold is None else threshold,
        candidate_floor=answer.candidate_floor,
        count=sum(not detection["border"] for detection in found),
        detections=[DetectionOut(**detection) for detection in found],
    )


def links_of(job: Job) -> dict[str, str]:
    """Where everything of a job is."""
    here = f"/jobs/{job.id}"
    links = {"self": here, "events": f"{here}/events", "view": f"{here}/view"}
    if job.state is JobState.SUCCEEDED:
        asked = [name for export in job.request.exports for name in EXPORT_FILES.get(export, [ZARR])]
        links |= {"detections": f"{here}/detections", "files": f"{here}/files"}
        links |= {name: link_to_file(job, name) for name in [*FILES, *asked]}
    return links


def link_to_file(job: Job, name: str) -> str:
    """Where a file of a job's result is."""
    return f"/jobs/{job.id}/files/{name}"


def _common(job: Job) -> dict[str, Any]:
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
        "cached": job.cached,
        "cancel_requested": job.cancel_requested,
        "attempt": job.attempt,
        "progress": _progress(job),
        "problem": job.problem,
        "links": links_of(job),
    }


def _progress(job: Job) -> ProgressOut:
    progress = ProgressOut(**vars(job.progress), eta_s=_eta_s(job))
    if not job.awaits_slide:
        return progress
    assert job.fetch
    return progress.model_copy(update={"bytes_done": job.fetch.bytes_done, "bytes_total": job.fetch.bytes_total})


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _eta_s(job: Job) -> float | None:
    done, total = job.progress.tiles_done, job.progress.tiles_total
    if job.state is not JobState.RUNNING or job.started_at is None or not 0 < done <= total:
        return None
    elapsed = datetime.now(UTC).timestamp() - job.started_at
    return round(elapsed * (total - done) / done, 1)
