"""The files of a result: range requests, entity tags and media types."""

from __future__ import annotations

import hashlib
import os
import pathlib
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from service.api.contract.problems import problems
from service.api.contract.schemas import FileList, FileOut
from service.api.running.context import JobDep, ServiceDep
from service.jobs.lifecycle import Job, JobState
from service.jobs.summary import link_to_file, shown_name
from service.results.naming import NAMED, name_file, size_when_named
from service.results.results import GONE, MEDIA_TYPES, ZARR, NotFinishedError, ResultGoneError
from service.slides_in.store_slide import incoming_folder

router = APIRouter(prefix="/jobs", tags=["jobs"])

#: Used for Starlette's comparison of entity tags alone; it serves no files.
_CACHING = StaticFiles()
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEDIA = sorted(set(MEDIA_TYPES.values()))
_CONTENT = {media: {"schema": {"type": "object"}} if media.endswith("json") else _BINARY for media in _MEDIA}
#: A report has its style and pictures inside: it may run no script and load nothing.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)


class _PassingFile(FileResponse):
    """A file, so that ranges of it can be asked for, that goes with the answer, however that ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or as much as the client takes, and remove it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.unlink(self.path)


def _responses(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"content": content, "description": "The file"},
        206: {"content": content, "description": "A range of it"},
        304: {"description": "Not changed"},
        416: {"description": "No such range"},
        **problems(400, 404, 409, 410, 422),
    }


def get_finished_job(job: JobDep) -> Job:
    """The job of the path; NotFinishedError unless it has succeeded."""
    if job.state is not JobState.SUCCEEDED:
        raise NotFinishedError(f"the job is {job.state}")
    return job


FinishedJobDep = Annotated[Job, Depends(get_finished_job)]
IfNoneMatch = Annotated[str | None, Header(description="entity tags that the client has")]
FileName = Annotated[str, Path(max_length=64, json_schema_extra={"enum": [*MEDIA_TYPES]})]
ZarrPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,8}$")]


@router.get("/{job_id}/files", summary="The files of a result", responses=problems(404, 409, 410, 422))
def list_files(service: ServiceDep, job: FinishedJobDep) -> FileList:
    """The files of every result, a picture of each hotspot, and the files that `export` asked for."""
    results, key = service.results, job.request.result_key
    sizes = {name: _size(results.file(key, name), job) for name in results.names(key)}
    if not sizes:
        raise ResultGoneError(GONE)
    files = [
        FileOut(name=name, bytes=size, media_type=MEDIA_TYPES[name], link=link_to_file(job, name))
        for name, size in sizes.items()
    ]
    return FileList(files=files, zarr=link_to_file(job, ZARR) if results.has_zarr(key) else None)


def _size(path: pathlib.Path, job: Job) -> int:
    status = path.stat()
    return size_when_named(path, shown_name(job), status.st_mtime_ns) if path.name in NAMED else status.st_size


@router.get(
    "/{job_id}/files/{name}", summary="A file of a result", response_class=FileResponse, responses=_responses(_CONTENT)
)
def get_file(service: ServiceDep, job: FinishedJobDep, name: FileName, if_none_match: IfNoneMatch = None) -> Response:
    """detections.geojson opens in QuPath; map.ome.tiff is a pyramid; report.html is a page to read or print."""
    return _send(service, job, name, if_none_match)


@router.get(
    "/{job_id}/files/map.ome.zarr/{path:path}",
    summary="A file within the map as OME-Zarr",
    response_class=FileResponse,
    responses=_responses({"application/json": {"schema": {"type": "object"}}, "application/octet-stream": _BINARY}),
)
def get_zarr_file(
    service: ServiceDep, job: FinishedJobDep, path: ZarrPath, if_none_match: IfNoneMatch = None
) -> Response:
    """Open the link up to map.ome.zarr in an OME-Zarr viewer; written if `export=zarr` was asked for."""
    return _send(service, job, f"{ZARR}/{path}", if_none_match)


def _send(service: ServiceDep, job: Job, name: str, if_none_match: str | None) -> Response:
    path = service.results.file(job.request.result_key, name)
    status = path.stat()
    shown = shown_name(job) if name in NAMED else ""
    identity = f"{job.request.result_key} {name} {status.st_mtime_ns} {status.st_size} {shown}"
    tag = f'"{hashlib.sha256(identity.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if name.endswith(".html"):
        headers["Content-Security-Policy"] = REPORT_POLICY
    if _CACHING.is_not_modified(Headers(headers), Headers({"If-None-Match": if_none_match or ""})):
        return Response(status_code=304, headers=headers)
    in_zarr = "application/json" if name.endswith(".json") else "application/octet-stream"
    media_type = MEDIA_TYPES.get(name, in_zarr)
    if name not in NAMED:
        return FileResponse(path, media_type=media_type, headers=headers)
    # Among what is incomplete, where retention removes what a killed process leaves: it bears the name of a slide.
    named = incoming_folder(service.settings) / uuid.uuid4().hex
    named.parent.mkdir(parents=True, exist_ok=True)
    named.write_bytes(name_file(path, shown))
    return _PassingFile(named, media_type=media_type, headers=headers)
