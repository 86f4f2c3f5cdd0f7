"""What the viewer draws: a job's slide as DeepZoom tiles, its outlines, and the map while the scan runs.

Only the pyramid is served, never a slide's label or macro image: those may show names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any
from xml.sax.saxutils import quoteattr

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from scanner.errors import ScannerError
from service.api.contract.problems import problems
from service.api.running.context import ClientDep, JobDep, Service, ServiceDep, place_of
from service.jobs.lifecycle import Job, JobState
from service.results.live_map import growing_map_picture
from service.results.results import NotFinishedError
from service.results.tile_processes import ClientGoneError
from service.results.viewer_tiles import (
    TILE_SIDE,
    Pyramid,
    TileOutsideError,
    TileSource,
    require_unchanged,
    slide_crop,
    slide_size,
    slide_thumbnail,
    slide_tile,
)

router = APIRouter(prefix="/jobs", tags=["viewer"])

#: A tile never changes: the slide belongs to the job.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_STATUSES = (404, 409, 410, 422, 503)
#: Of the answer that nobody receives any more, in logs and metrics; nginx uses this number.
_CLIENT_GONE = 499


def _content(media_type: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string"} if media_type.endswith("xml") else {"type": "string", "format": "binary"}
    return {200: {"content": {media_type: {"schema": schema}}, "description": "Success"}}


@dataclass(frozen=True)
class Picture:
    """Makes pictures of a job's slide for one request, in turn with the requests of others."""

    request: Request
    service: Service
    job: Job
    client: str

    async def __call__(self, function: Callable[..., bytes], *args: object) -> Response:
        """What `function` makes of the slide, a JPEG."""
        source, is_gone = source_of(self.service, self.job), self.request.is_disconnected
        with unreadable_as_missing():
            try:
                made = await self.service.tiles.run_for(self.client, is_gone, function, source, *args)
            except ClientGoneError:
                return Response(status_code=_CLIENT_GONE)
        return Response(made, media_type="image/jpeg", headers=_FOREVER)


def get_picture(request: Request, service: ServiceDep, job: JobDep, client: ClientDep) -> Picture:
    """Of the request's job, for its client at its address."""
    return Picture(request, service, job, place_of(request, client))


PictureDep = Annotated[Picture, Depends(get_picture)]


class SlideSize(BaseModel):
    """Size, resolution and tiling of a slide, for a viewer."""

    width: int
    height: int
    mpp: float | None
    tile_side: int = TILE_SIDE
    levels: int


@router.get("/{job_id}/slide.json", summary="Size and tiling of a job's slide", responses=problems(*_STATUSES))
async def get_slide(service: ServiceDep, job: JobDep) -> SlideSize:
    """Levels are DeepZoom's: the last is level 0 of the slide, each before it half as large."""
    width, height, mpp = await size_of(service, job)
    return SlideSize(width=width, height=height, mpp=mpp, levels=Pyramid(width, height).levels)


@router.get(
    "/{job_id}/slide.dzi",
    summary="The DeepZoom descriptor of a job's slide",
    response_class=Response,
    responses=_content("application/xml") | problems(*_STATUSES),
)
async def get_dzi(service: ServiceDep, job: JobDep) -> Response:
    """The tiles are at slide_files/{level}/{col}_{row}.jpeg."""
    width, height, _ = await size_of(service, job)
    image = f"TileSize={quoteattr(str(TILE_SIDE))} Overlap='0' Format='jpeg'"
    size = f"<Size Width='{width}' Height='{height}'/>"
    content = f"<Image xmlns='http://schemas.microsoft.com/deepzoom/2008' {image}>{size}</Image>"
    return Response(content, media_type="application/xml")


@router.get(
    "/{job_id}/slide_files/{level}/{col}_{row}.jpeg",
    summary="A tile of a job's slide",
    response_class=Response,
    responses=_content("image/jpeg") | problems(*_STATUSES),
)
async def get_tile(
    picture: PictureDep,
    level: Annotated[int, Path(ge=0, le=40)],
    col: Annotated[int, Path(ge=0, le=1_000_000)],
    row: Annotated[int, Path(ge=0, le=1_000_000)],
) -> Response:
    """JPEG; places that cannot be decoded are grey."""
    return await picture(slide_tile, level, (row, col))


@router.get(
    "/{job_id}/thumbnail.jpeg",
    summary="Thumbnail of a job's slide, at most 128 px a side",
    response_class=Response,
    responses=_content("image/jpeg") | problems(*_STATUSES),
)
async def get_thumbnail(picture: PictureDep) -> Response:
    """Made from the slide's pyramid, never from its label, macro image or thumbnail: those may show names."""
    return await picture(slide_thumbnail)


@router.get(
    "/{job_id}/crops/{x}_{y}.jpeg",
    summary="A crop around a point, 128 px square",
    response_class=Response,
    responses=_content("image/jpeg") | problems(*_STATUSES),
)
async def get_crop(
    picture: PictureDep,
    x: Annotated[int, Path(ge=0, le=1_000_000)],
    y: Annotated[int, Path(ge=0, le=1_000_000)],
    side: Annotated[int, Query(ge=16, le=512, description="side of the square, in level-0 pixels")] = 128,
) -> Response:
    """Around level-0 pixel (x, y); what lies beyond the slide's border is white."""
    return await picture(slide_crop, (y, x), side)


@router.get(
    "/{job_id}/regions",
    summary="Outlines of tissue, hotspots and unreadable areas",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/geo+json": {"schema": {"type": "object"}}}, "description": "GeoJSON"},
        **problems(*_STATUSES),
    },
)
def get_regions(service: ServiceDep, job: JobDep) -> FileResponse:
    """GeoJSON in level-0 pixels from the top left of the slide."""
    if job.state is not JobState.SUCCEEDED:
        raise NotFinishedError(f"the job is {job.state}")
    path = service.results.regions(job.request.result_key)
    return FileResponse(path, media_type="application/geo+json", headers={"Cache-Control": "private, no-cache"})


@router.get(
    "/{job_id}/live-map.png",
    summary="The probability map of a running job so far",
    response_class=Response,
    responses=_content("image/png") | problems(*_STATUSES),
)
async def get_live_map(service: ServiceDep, job: JobDep) -> Response:
    """Covers exactly the slide; dark where it has not been scanned yet."""
    if job.state is not JobState.RUNNING:
        raise NotFinishedError(f"the job is {job.state}")
    picture = await service.tiles.run(growing_map_picture, service.results.work_path(job.id))
    return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})


async def size_of(service: Service, job: Job) -> tuple[int, int, float | None]:
    """Width, height and mpp, if known, of a job's slide at level 0."""
    source = source_of(service, job)
    if job.state is JobState.SUCCEEDED:
        await service.tiles.run(require_unchanged, source)
        image = service.results.answer(job.request.result_key).image
        return image["width"], image["height"], image["mpp"]
    with unreadable_as_missing():
        return await service.tiles.run(slide_size, source)


@contextmanager
def unreadable_as_missing() -> Iterator[None]:
    """Turn a ScannerError into TileOutsideError: why the slide cannot be read is in the job's own problem."""
    try:
        yield
    except ScannerError as error:
        raise TileOutsideError("the slide cannot be read") from error


def source_of(service: Service, job: Job) -> TileSource:
    """Where the pixels of a job are; NotFinishedError while its slide is not here."""
    request = job.request
    if not request.slide:
        raise NotFinishedError(
            "the slide was not fetched" if job.state.is_final else "the slide is still being fetched"
        )
    path = service.settings.data.resolve() / request.slide
    is_of_server = PurePosixPath(request.slide).is_absolute()
    return TileSource(path, request.mpp, request.image, request.slide_sha256 if is_of_server else "")
