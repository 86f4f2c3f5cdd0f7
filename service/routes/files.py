"""The files of a result, with ranges, entity tags and their media types."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from fastapi.responses import FileResponse

from service.context import JobDep, ServiceDep
from service.jobs import JobState
from service.results import FILES, NotFinishedError
from service.routes.problems import problems

router = APIRouter(prefix="/jobs", tags=["jobs"])

FileName = Literal["detections.geojson", "detections.csv", "map.ome.tiff", "map.png", "overview.png", "run.json"]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CONTENT = {media: {"schema": {"type": "object"}} if media.endswith("json") else _BINARY for media in FILES.values()}


@router.get(
    "/{job_id}/files/{name}",
    summary="A file of a result",
    response_class=FileResponse,
    responses={
        200: {"content": _CONTENT, "description": "The file"},
        206: {"content": _CONTENT, "description": "A range of it"},
        304: {"description": "Not changed"},
        416: {"description": "No such range"},
        **problems(400, 404, 409, 410, 422),
    },
)
def get_file(
    service: ServiceDep,
    job: JobDep,
    name: FileName,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """detections.geojson opens in QuPath; map.ome.tiff is a pyramid; run.json says how the scan went."""
    if job.state is not JobState.SUCCEEDED:
        raise NotFinishedError(f"the job is {job.state}")
    path = service.results.file(job.request.result_key, name)
    status = path.stat()
    identity = f"{job.request.result_key} {name} {status.st_mtime_ns} {status.st_size}"
    tag = f'"{hashlib.sha256(identity.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if if_none_match and _matches(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=FILES[name], headers=headers)


def _matches(if_none_match: str, tag: str) -> bool:
    tags = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return "*" in tags or tag in tags
