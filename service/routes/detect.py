"""POST /detect: a slide in, detections out, at once or later. POST /uploads: a slide in, for later."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import unquote

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from service.asked import DetectQuery, DetectSource, PathSource, UploadSource, UrlSource
from service.audit import note
from service.context import IdempotencyKey, Service, ServiceDep, SubmitterDep
from service.errors import JobFailedError
from service.forms import BadRequestError
from service.headers import Header as ImageHeader
from service.intake import StoredSlide, check_header, receive_form, receive_raw
from service.jobs import Job, JobState
from service.limits import TooLargeError, require_disk
from service.retention import folder_size
from service.routes.problems import LOCATION, problems
from service.schemas import JobOut, UploadOut, job_out
from service.sources import find_path, find_upload
from service.submission import Choices, is_small, submit, submit_url
from service.webhooks import check_webhook

router = APIRouter(tags=["scan"])

#: A JSON body that names its source is short.
MAX_JSON = 16_384
#: A file with more bytes than this for each pixel that is waited for is no small image: 16 bits of each channel.
MAX_FIELD_BYTES_PER_PIXEL = 8
_BYTES = {"type": "string", "format": "binary"}
#: Bodies that a machine can make up from their description alone. The bytes of a slide are taken under any other
#: content type too: what counts is what is in them.
_IMAGES = ("image/png", "image/jpeg", "image/webp")
_FORM = {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": _BYTES}},
    "encoding": {"file": {"contentType": ", ".join(_IMAGES)}},
}
_SLIDE_BODY = {"multipart/form-data": _FORM} | {image: {"schema": _BYTES} for image in _IMAGES}
_SOURCE_BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/DetectSource"}}}


@router.post(
    "/detect",
    response_model=JobOut,
    summary="Find mitotic figures in a slide or field",
    responses={
        200: {"description": "The result of a small image"},
        202: {"model": JobOut, "description": "A job; follow Location", "headers": LOCATION},
        **problems(400, 404, 409, 413, 415, 422, 502, 503, 507),
    },
    openapi_extra={"requestBody": {"required": True, "content": _SLIDE_BODY | _SOURCE_BODY}},
)
async def detect(
    request: Request,
    service: ServiceDep,
    client: SubmitterDep,
    query: Annotated[DetectQuery, Query()],
    prefer: Annotated[str | None, Header(description="respond-async: do not wait for the result")] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send the slide as multipart field `file`, as the raw body, or name it: {"source": {"path" | "upload" | "url"}}.

    A slide in several files (MIRAX, VMS, a DICOM series) is sent as a zip, or with a field `file` for each file.

    SVS, TIFF, OME-TIFF, NDPI, SCN, BIF, DICOM, PNG, JPEG, WebP and BMP are recognised by their content, under any
    content type (application/octet-stream, say).
    Small images answer 200 with the result. Large ones, or `Prefer: respond-async`, answer 202 with the job. A slide at
    a URL is fetched after that.
    """
    check_webhook(query.webhook, service.settings)
    service.catalog.find(query.model)  # An unknown model is refused before gigabytes are taken in.
    slide = await _receive(request, service)
    choices = Choices(**query.model_dump(), idempotency_key=idempotency_key)
    if isinstance(slide, UrlSource):
        job = await to_thread.run_sync(submit_url, service, client, slide.url, choices)
    else:
        note(request, slide=slide.sha256)
        job = await to_thread.run_sync(submit, service, client, slide, choices)
    note(request, job=job.id)
    if "respond-async" not in (prefer or "").lower():
        job = await _wait_if_small(service, job, None if isinstance(slide, UrlSource) else slide.header)
    return await to_thread.run_sync(_answer, service, job)


@router.post(
    "/uploads",
    response_model=UploadOut,
    status_code=201,
    summary="Upload a slide to be named as a source later",
    responses=problems(400, 413, 415, 422, 507),
    openapi_extra={"requestBody": {"required": True, "content": _SLIDE_BODY}},
)
async def upload(request: Request, service: ServiceDep, _client: SubmitterDep) -> UploadOut:
    """Send the slide as multipart field `file` or as the raw body, under any content type.

    A slide in several files is sent as a zip, or with a field `file` for each file.
    """
    return _upload_out(request, service, await _receive_bytes(request, service))


@router.put(
    "/uploads/{name}",
    response_model=UploadOut,
    status_code=201,
    summary="Upload a slide, as curl -T sends it",
    responses=problems(400, 413, 415, 422, 507),
    openapi_extra={"requestBody": {"required": True, "content": {image: {"schema": _BYTES} for image in _IMAGES}}},
)
async def put_upload(
    request: Request,
    service: ServiceDep,
    _client: SubmitterDep,
    name: Annotated[str, Path(min_length=1, max_length=255, description="shown, never used as a path")],
) -> UploadOut:
    """The raw body is the slide, or a zip of its files. Sent again, it is the same upload."""
    require_acceptable(request, service)
    return _upload_out(request, service, await receive_raw(request.stream(), service.settings, name=name))


def _upload_out(request: Request, service: Service, slide: StoredSlide) -> UploadOut:
    note(request, slide=slide.sha256)
    folder = (service.settings.data.resolve() / slide.path).parent
    size = folder_size(folder)
    return UploadOut(id=slide.sha256, name=slide.name, bytes=size, width=slide.header.width, height=slide.header.height)


async def _wait_if_small(service: Service, job: Job, header: ImageHeader | None) -> Job:
    """The job once it has ended, if its slide is small; what a slide that is being fetched is like shows on the way."""
    settings = service.settings
    async with aclosing(service.waiter.changes(job.id, timeout_s=settings.sync_timeout_s)) as changes:
        async for job in changes:
            if job.awaits_slide:
                assert job.fetch
                size = max(job.fetch.bytes_done, job.fetch.bytes_total or 0)
                if size > MAX_FIELD_BYTES_PER_PIXEL * settings.sync_max_pixels:
                    break
            elif not job.state.is_final:
                path = settings.data.resolve() / job.request.slide
                if header is None:
                    header = await to_thread.run_sync(check_header, path, settings)
                if not is_small(header, settings.sync_max_pixels):
                    break
    return job


async def _receive(request: Request, service: Service) -> StoredSlide | UrlSource:
    if _content_type(request) != "application/json":
        return await _receive_bytes(request, service)
    source = _parse_source(await _read_json(request)).source
    if isinstance(source, PathSource):
        return await to_thread.run_sync(find_path, source.path, service.settings)
    if isinstance(source, UploadSource):
        return await to_thread.run_sync(find_upload, source.upload, service.settings)
    return source


async def _receive_bytes(request: Request, service: Service) -> StoredSlide:
    settings = service.settings
    require_acceptable(request, service)
    if _content_type(request) == "multipart/form-data":
        return await receive_form(request.stream(), request.headers["content-type"], settings)
    return await receive_raw(request.stream(), settings, name=unquote(request.headers.get("x-file-name", "upload")))


def require_acceptable(request: Request, service: Service) -> None:
    """Raise if there is no room for a slide, or none for one as large as the request says."""
    settings = service.settings
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    if size > settings.max_upload_bytes + MAX_JSON:
        raise TooLargeError(f"the slide has more than {settings.max_upload_bytes} bytes")
    require_disk(settings, size)


async def _read_json(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON:
            raise TooLargeError("a JSON body names its source in a few bytes")
    return bytes(body)


def _parse_source(body: bytes) -> DetectSource:
    try:
        return DetectSource.model_validate_json(body)
    except ValidationError as error:
        if any(entry["type"] == "json_invalid" for entry in error.errors(include_url=False)):
            raise BadRequestError("the body is not JSON") from error
        raise RequestValidationError(_within_body(error)) from error


def _within_body(error: ValidationError) -> list[Any]:
    entries = error.errors(include_url=False, include_input=False, include_context=False)
    return [dict(entry) | {"loc": ("body", *entry["loc"])} for entry in entries]


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _answer(service: Service, job: Job) -> Response:
    if job.state is JobState.FAILED:
        assert job.problem
        raise JobFailedError(job.problem, job_id=job.id)
    answer = service.results.answer(job.request.result_key) if job.state is JobState.SUCCEEDED else None
    body = job_out(job, answer)
    location = {"Location": body.links["self"]}
    return JSONResponse(body.model_dump(mode="json"), 200 if answer else 202, headers=location)
