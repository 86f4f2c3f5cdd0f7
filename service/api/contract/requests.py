"""Pydantic models of requests: where the slide is, and how it is scanned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.lifecycle import Priority
from service.slides_in.store_slide import MAX_NAME

#: Text without control characters; service/api/targets.py refuses those before any route sees them.
PLAIN_TEXT = r"^[^\x00-\x1f\x7f-\x9f]+$"
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Threshold = Annotated[float, Field(ge=0, le=1)]
#: `scanner.settings.PRECISIONS`, which a test compares.
Precision = Literal["float32", "tf32", "bfloat16"]
Stride = Annotated[int, Field(ge=1, le=64)]
#: Most detections of one answer: far more than slides have, and no answer is larger than a few MB.
MAX_DETECTIONS = 10_000
#: DICOM annotations and map (DICOM slides only), the detections as Grand Challenge wants them, the map as OME-Zarr.
Export = Literal["dicom", "grand-challenge", "zarr"]


class PathSource(BaseModel):
    """A file in one of the server's allowed folders."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"path": "2026/slide-17.svs"}})
    path: Annotated[str, Field(min_length=1, max_length=1024, description="relative to an allowed folder, or absolute")]


class UploadSource(BaseModel):
    """A slide that was uploaded before."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"upload": "0d5f6c1e" * 8}})
    upload: Annotated[str, Field(pattern=r"^([0-9a-f]{64}|[0-9a-f]{32})$", description="id of an upload")]


class UrlSource(BaseModel):
    """A slide at an allowed URL, an object in an allowed store, or a series on an allowed DICOMweb server."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"url": "s3://slides/2026/17.svs"}})
    url: Annotated[str, Field(min_length=1, max_length=2048, description="http, https, s3, gs or az")]


class DetectSource(BaseModel):
    """JSON body of a request that refers to its slide instead of containing it."""

    model_config = ConfigDict(extra="forbid")
    source: PathSource | UploadSource | UrlSource


class DetectQuery(BaseModel):
    """How a slide is scanned; the model's card has the defaults.

    Unknown parameters are refused: a scan that ignored one would not be the scan that was asked for.
    """

    model_config = ConfigDict(protected_namespaces=(), extra="forbid")

    model: Annotated[ModelName | None, Field(description="name of a model; see /models")] = None
    threshold: Annotated[Threshold | None, Field(description="lowest score of a detection")] = None
    stride: Annotated[
        Stride | None, Field(description="distance between scanned positions, in pixels at the model's mpp")
    ] = None
    name: Annotated[
        str | None,
        Field(
            pattern=PLAIN_TEXT, max_length=MAX_NAME, description="name to show for the slide; by default its file name"
        ),
    ] = None
    case: Annotated[
        str,
        Field(
            pattern=PLAIN_TEXT, max_length=MAX_NAME, description="name of the case that the slide belongs to, to show"
        ),
    ] = ""
    mpp: Annotated[
        float | None,
        Field(ge=0.05, le=40, description="micrometres per level-0 pixel, instead of what the slide states"),
    ] = None
    image: Annotated[
        int | None,
        Field(
            ge=0,
            le=9999,
            description="index of the image of the file to scan; by default the first that is no overview",
        ),
    ] = None
    keep_ink: Annotated[bool, Field(description="scan pen marks and dark dirt too, as if they were tissue")] = False
    precision: Annotated[
        Precision, Field(description="numbers that the network runs in; only float32 is exact, others may be faster")
    ] = "float32"
    exports: Annotated[
        tuple[Export, ...],
        Field(alias="export", max_length=3, description="additional result files; may be given several times"),
    ] = ()
    priority: Annotated[Priority, Field(description="order among waiting jobs")] = Priority.NORMAL
    timeout_s: Annotated[
        float | None,
        Field(
            gt=0, le=1e6, description="longest that the scan may take, in seconds; the service's own limit holds too"
        ),
    ] = None
    webhook: Annotated[
        str | None,
        Field(
            pattern=PLAIN_TEXT,
            max_length=2048,
            description="URL on the allow list that is called when the job has ended",
        ),
    ] = None
    store: Annotated[
        str | None,
        Field(
            pattern=PLAIN_TEXT,
            max_length=2048,
            description="DICOMweb server on the allow list, such as https://pacs/dicom-web, that gets the annotations "
            "of a DICOM slide when the job has succeeded; implies export=dicom",
        ),
    ] = None
