"""Pydantic models of answers, and how they are made from jobs and results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from models.card import NOTICE
from service.jobs.lifecycle import Job
from service.jobs.summary import JobSummary, link_to_file, summary_fields
from service.results.results import Answer
from service.slides_in.region import geometry_of


class DetectionOut(BaseModel):
    """One figure: its centre in level-0 pixels from the top left (pixel centres are integers), and in micrometres."""

    id: Annotated[str, Field(description="the same in every file and in the review")]
    x: float
    y: float
    x_um: float
    y_um: float
    score: Annotated[float, Field(description="smoothed value of the map, 0 to 1; not a calibrated probability")]
    label: str
    border: Annotated[
        bool, Field(description="lies at the slide's border, where the patch shows mirrored tissue; not counted")
    ] = False


class ModelRef(BaseModel):
    """The model that was used."""

    name: str
    version: str
    sha256: str


class FileImageOut(BaseModel):
    """One image of a slide's file."""

    index: Annotated[int, Field(description="value for the query parameter `image`")]
    name: Annotated[str, Field(description="name of the image in the file")]
    kind: Annotated[str, Field(description="`image`, or `overview`: a label, macro picture, thumbnail or mask")]
    width: Annotated[int | None, Field(description="level-0 pixels")]
    height: Annotated[int | None, Field(description="level-0 pixels")]
    mpp: Annotated[float | None, Field(description="as stated by the file")]


class ImageOut(BaseModel):
    """The slide as it was read."""

    width: Annotated[int, Field(description="level-0 pixels")]
    height: Annotated[int, Field(description="level-0 pixels")]
    mpp: Annotated[float, Field(description="micrometres per level-0 pixel")]
    mpp_source: Annotated[str, Field(description="where mpp comes from; `assumed` if the file does not state it")]
    name: Annotated[str, Field(description="name of the slide")]
    index: Annotated[int, Field(description="which image of the file was scanned")] = 0
    images: Annotated[list[FileImageOut], Field(description="all images of the file")] = []


class JobOut(JobSummary):
    """A job, and once it has succeeded its result."""

    model: ModelRef
    region: Annotated[
        dict[str, Any] | None,
        Field(description="the only part of the slide that is scanned, as a polygon of GeoJSON; null: all of it"),
    ] = None
    image: ImageOut | None = None
    count: Annotated[int | None, Field(description="number of detections without those at the slide's border")] = None
    threshold: float | None = None
    detections: list[DetectionOut] | None = None
    hotspots: list[dict[str, Any]] | None = None
    area_mm2: dict[str, Any] | None = None
    warnings: list[str] = Field(default=[])


class DetectionsOut(BaseModel):
    """A result at another threshold."""

    id: str
    threshold: float
    candidate_floor: Annotated[float, Field(description="candidates with a lower score are not kept")]
    count: Annotated[int, Field(description="number of detections without those at the slide's border")]
    total: Annotated[int, Field(description="number of all detections, of which `detections` may be a page")]
    detections: Annotated[list[DetectionOut], Field(description="by falling score")]


class FileOut(BaseModel):
    """A file of a result."""

    name: str
    bytes: int
    media_type: str
    link: str


class FileList(BaseModel):
    """The files of a result."""

    files: list[FileOut]
    zarr: Annotated[str | None, Field(description="link to the map as OME-Zarr, if `export=zarr` was asked for")] = None


class UploadOut(BaseModel):
    """An upload, which jobs can use as their source."""

    id: str
    name: str
    bytes: int
    width: int | None
    height: int | None


class ModelsOut(BaseModel):
    """The available models."""

    notice: str = NOTICE
    default: str
    models: list[dict[str, Any]]


class MeOut(BaseModel):
    """Who sends a request, and what they may do."""

    name: Annotated[str, Field(description="name of the key, or of the share link")]
    may: list[Literal["metrics", "read", "review", "share", "submit", "every_group"]]
    job: Annotated[str | None, Field(description="the only job that a share link shows; null for a key")] = None


class HealthOut(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """Whether everything that a scan needs is there, check by check."""

    status: Literal["ready", "not ready"]
    checks: dict[str, bool]


def job_out(job: Job, answer: Answer | None) -> JobOut:
    """A job with its result, if it has one."""
    request = job.request
    region = geometry_of(request.region) if request.region else None
    if answer is None:
        model = ModelRef(name=request.model, version="", sha256=request.model_sha256)
        return JobOut(**summary_fields(job), model=model, region=region)
    pictures = [f"hotspot-{rank}.png" for rank in range(1, len(answer.hotspots) + 1)]
    common = summary_fields(job)
    common["links"] |= {name: link_to_file(job, name) for name in pictures}
    return JobOut(
        **common,
        model=ModelRef(**answer.model),
        region=region,
        image=ImageOut(**answer.image, name=request.slide_name),
        count=answer.count,
        threshold=answer.threshold,
        detections=[DetectionOut(**detection) for detection in answer.detections()],
        hotspots=answer.hotspots,
        area_mm2=answer.area_mm2,
        warnings=answer.warnings,
    )


def detections_out(job: Job, answer: Answer, threshold: float | None, page: slice) -> DetectionsOut:
    """A page of a result at a threshold."""
    found = answer.detections(threshold)
    return DetectionsOut(
        id=job.id,
        threshold=answer.threshold if threshold is None else threshold,
        candidate_floor=answer.candidate_floor,
        count=sum(not detection["border"] for detection in found),
        total=len(found),
        detections=[DetectionOut(**detection) for detection in found[page]],
    )
