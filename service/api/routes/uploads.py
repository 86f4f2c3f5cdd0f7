"""Uploads in one request, and deleting any upload. Resumable ones are created in service/api/routes/tus.py."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from starlette.convertors import StringConvertor, register_url_convertor

from service.api.contract.problems import problems
from service.api.contract.requests import PLAIN_TEXT
from service.api.contract.schemas import UploadOut
from service.api.running.context import Service, ServiceDep, SubmitterDep
from service.api.running.receiving import receive_body, receive_one
from service.jobs.deleting import delete_upload
from service.slides_in.store_slide import StoredSlide, stored_size
from service.telemetry.audit import add_audit_fields

BYTES = {"type": "string", "format": "binary"}
#: Content types in the OpenAPI document, for clients and tests that generate bodies from it. Slides are accepted under
#: any other content type too: their format is recognised by their bytes.
IMAGES = ("image/png", "image/jpeg", "image/webp")
_FORM = {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": BYTES}},
    "encoding": {"file": {"contentType": ", ".join(IMAGES)}},
}
SLIDE_BODY = {"multipart/form-data": _FORM} | {image: {"schema": BYTES} for image in IMAGES}


class _UploadConvertor(StringConvertor):
    """A name or id in a path; /uploads/tus belongs to other routes."""

    regex = r"(?!tus/?$)[^/]+"


register_url_convertor("upload", _UploadConvertor())
router = APIRouter(prefix="/uploads", tags=["uploads"])


@router.post(
    "",
    response_model=UploadOut,
    status_code=201,
    summary="Upload a slide for later scans",
    responses=problems(400, 408, 413, 415, 422, 507),
    openapi_extra={"requestBody": {"required": True, "content": SLIDE_BODY}},
)
async def upload_slide(request: Request, service: ServiceDep, client: SubmitterDep) -> UploadOut:
    """Send the slide as multipart field `file` or as the raw body, under any content type.

    A slide in several files is sent as a zip, or with a field `file` for each file.
    """
    slide = await receive_body(request, service, client)
    return await to_thread.run_sync(_upload_out, request, service, slide)


@router.put(
    "/{upload:upload}",
    response_model=UploadOut,
    status_code=201,
    summary="Upload a slide by PUT, as `curl -T` does",
    responses=problems(400, 408, 413, 415, 422, 507),
    openapi_extra={"requestBody": {"required": True, "content": {image: {"schema": BYTES} for image in IMAGES}}},
)
async def put_slide(
    request: Request,
    service: ServiceDep,
    client: SubmitterDep,
    upload: Annotated[
        str, Path(pattern=PLAIN_TEXT, max_length=255, description="name to show for the slide; never used as a path")
    ],
) -> UploadOut:
    """The raw body is the slide, or a zip of its files. The same bytes sent again are the same upload."""
    slide = await receive_one(request, service, client, name=upload)
    return await to_thread.run_sync(_upload_out, request, service, slide)


@router.delete(
    "/{upload:upload}",
    name="delete_upload",
    status_code=204,
    summary="Delete an upload",
    response_class=Response,
    responses=problems(404, 409, 422, 423),
)
def delete(
    request: Request,
    service: ServiceDep,
    client: SubmitterDep,
    upload: Annotated[str, Path(pattern=PLAIN_TEXT, max_length=255, description="id of an upload, resumable or not")],
) -> Response:
    """Its bytes are removed unless a job or another group's upload needs them. Finished jobs keep their results."""
    delete_upload(service, client, upload)
    add_audit_fields(request, upload=upload)
    return Response(status_code=204)


def _upload_out(request: Request, service: Service, slide: StoredSlide) -> UploadOut:
    add_audit_fields(request, slide=slide.sha256)
    size = stored_size(slide, service.settings)
    return UploadOut(id=slide.sha256, name=slide.name, bytes=size, width=slide.header.width, height=slide.header.height)
