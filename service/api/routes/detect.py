"""POST /detect: submits a scan; answers with the result or with a job."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from service.access.keys import Client
from service.access.limits import TooLargeError
from service.api.contract.errors import JobFailedError
from service.api.contract.problems import LOCATION, problems
from service.api.contract.requests import DetectQuery, DetectSource, PathSource, UploadSource, UrlSource
from service.api.contract.schemas import JobOut, job_out
from service.api.routes.uploads import SLIDE_BODY
from service.api.running.context import IdempotencyKey, Service, ServiceDep, SubmitterDep
from service.api.running.receiving import MAX_JSON, content_type, receive_body
from service.jobs.lifecycle import Job, JobState
from service.jobs.stow import check_store
from service.jobs.submission import Choices, is_small, submit, submit_url
from service.jobs.webhooks import check_webhook
from service.slides_in.image_headers import Header as ImageHeader
from service.slides_in.multipart import BadRequestError
from service.slides_in.server_paths import find_path, find_upload
from service.slides_in.store_slide import StoredSlide, check_header
from service.telemetry.audit import add_audit_fields

router = APIRouter(tags=["scan"])

#: A file with more bytes per pixel than this cannot be a small image: 16 bits for each of four channels.
MAX_FIELD_BYTES_PER_PIXEL = 8
_SOURCE_BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/DetectSource"}}}


@router.post(
    "/detect",
    response_model=JobOut,
    summary="Find mitotic figures in a slide or field",
    responses={
        200: {"description": "The result of a small image"},
        202: {"model": JobOut, "description": "A job; follow Location", "headers": LOCATION},
        **problems(400, 404, 408, 409, 413, 415, 422, 502, 503, 507),
    },
    openapi_extra={"requestBody": {"required": True, "content": SLIDE_BODY | _SOURCE_BODY}},
)
async def detect(
    request: Request,
    service: ServiceDep,
    client: SubmitterDep,
    query: Annotated[DetectQuery, Query()],
    prefer: Annotated[
        str | None, Header(description="`respond-async`: answer 202 at once, do not wait for the result")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send the slide as multipart field `file` or as raw body, or refer to it: {"source": {"path" | "upload" | "url"}}.

    A slide in several files (MIRAX, VMS, a DICOM series) is sent as a zip, or with a field `file` for each file.

    SVS, TIFF, OME-TIFF, NDPI, SCN, BIF, DICOM, PNG, JPEG, WebP and BMP are recognised by their content, under any
    content type (application/octet-stream, say).
    Small images answer 200 with the result. Large ones, or `Prefer: respond-async`, answer 202 with the job. A slide at
    a URL, or a series on a DICOMweb server, is fetched after that.
    """
    check_webhook(query.webhook, service.settings)
    check_store(query.store, service.settings)
    service.catalog.find(query.model)  # An unknown model is refused before gigabytes are received.
    slide = await _receive(request, service, client)
    choices = Choices(**query.model_dump(), idempotency_key=idempotency_key)
    if isinstance(slide, UrlSource):
        job = await service.submissions.run(partial(submit_url, service, client, slide.url, choices))
    else:
        add_audit_fields(request, slide=slide.sha256)
        job = await service.submissions.run(partial(submit, service, client, slide, choices))
    add_audit_fields(request, job=job.id)
    if "respond-async" not in (prefer or "").lower():
        job = await _wait_if_small(service, job, None if isinstance(slide, UrlSource) else slide.header)
    return await to_thread.run_sync(_answer, service, job)


async def _wait_if_small(service: Service, job: Job, header: ImageHeader | None) -> Job:
    """The job once it has ended, if its slide is small; a slide at a URL shows its size only while it is fetched."""
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


async def _receive(request: Request, service: Service, client: Client) -> StoredSlide | UrlSource:
    if content_type(request) != "application/json":
        return await receive_body(request, service, client)
    source = _parse_source(await _read_json(request)).source
    if isinstance(source, PathSource):
        return await to_thread.run_sync(find_path, source.path, service.settings)
    if isinstance(source, UploadSource):
        finding = partial(find_upload, source.upload, service.settings, client=client)
        return await to_thread.run_sync(finding)
    return source


async def _read_json(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON:
            raise TooLargeError(f"a JSON body has at most {MAX_JSON} bytes")
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


def _answer(service: Service, job: Job) -> Response:
    if job.state is JobState.FAILED:
        assert job.problem
        raise JobFailedError(job.problem, job_id=job.id)
    answer = service.results.answer(job.request.result_key) if job.state is JobState.SUCCEEDED else None
    body = job_out(job, answer)
    location = {"Location": body.links["self"]}
    return JSONResponse(body.model_dump(mode="json"), 200 if answer else 202, headers=location)
