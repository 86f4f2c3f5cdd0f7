"""Resumable uploads by the tus protocol 1.0.0 (tus.io), for large slides over unreliable connections.

Core, and the extensions creation, creation-defer-length, expiration and termination. Key, owner, size, quota and disk
are checked before a byte of a body is read.
"""

from __future__ import annotations

import uuid
from email.utils import formatdate
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException

from service.access.limits import Allowance, TooLargeError
from service.api.contract.problems import problems
from service.api.contract.requests import PLAIN_TEXT
from service.api.contract.tus_protocol import (
    EXTENSIONS,
    MAX_INT,
    MAX_METADATA,
    OF_UPLOAD,
    OFFSET_BYTES,
    PREFIX,
    VERSION,
    name_in_metadata,
)
from service.api.running.context import ServiceDep, SubmitterDep
from service.jobs.deleting import delete_upload
from service.proxies import link
from service.settings import Settings
from service.slides_in import tus
from service.slides_in.multipart import BadRequestError
from service.slides_in.quotas import allowance_for, begin_upload
from service.slides_in.store_slide import clean_name
from service.slides_in.tus import Upload
from service.telemetry.audit import add_audit_fields

router = APIRouter(prefix=PREFIX, tags=["uploads"])

UploadId = Annotated[str, Path(pattern=PLAIN_TEXT, max_length=255, description="id of a resumable upload")]
Length = Annotated[
    Annotated[int, Field(ge=1, le=MAX_INT)] | SkipJsonSchema[None],
    Header(alias="Upload-Length", description="total size in bytes"),
]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=MAX_INT, description="bytes received so far")]


def require_version(
    _client: SubmitterDep,
    version: Annotated[str, Header(alias="Tus-Resumable", json_schema_extra={"enum": [VERSION]})] = "",
) -> None:
    """Refuse requests for other versions of the protocol."""
    if version != VERSION:
        raise HTTPException(412, f"send 'Tus-Resumable: {VERSION}'", headers={"Tus-Version": VERSION})


def get_upload(upload_id: UploadId, service: ServiceDep, client: SubmitterDep) -> Upload:
    """The upload of the path; UploadNotFoundError if it is another group's."""
    upload = tus.find(service.settings, upload_id)
    tus.require_owner(upload, client)
    return upload


UploadDep = Annotated[Upload, Depends(get_upload)]
_SPOKEN = [Depends(require_version)]


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in names}


@router.options("", status_code=204, summary="Supported version and extensions of tus", response_class=Response)
@router.options("/{upload_id}", status_code=204, include_in_schema=False)
def describe_resumable_uploads(service: ServiceDep) -> Response:
    """Version, extensions and the largest upload. Needs no key."""
    limit = str(service.settings.max_upload_bytes)
    return Response(
        status_code=204, headers={"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": limit}
    )


@router.post(
    "",
    status_code=201,
    summary="Create a resumable upload",
    response_class=Response,
    dependencies=_SPOKEN,
    responses={
        201: {"description": "Created; send the bytes to Location", "headers": _headers("Location", "Upload-Expires")},
        **problems(400, 412, 413, 422, 507),
    },
)
@router.post("/", status_code=201, include_in_schema=False, dependencies=_SPOKEN)
def create_resumable_upload(
    request: Request,
    service: ServiceDep,
    client: SubmitterDep,
    length: Length = None,
    deferred: Annotated[
        Annotated[int, Field(ge=1, le=1)] | SkipJsonSchema[None],
        Header(alias="Upload-Defer-Length", description="`1`: the length is sent with a later PATCH"),
    ] = None,
    metadata: Annotated[
        str,
        Header(
            alias="Upload-Metadata",
            max_length=MAX_METADATA,
            description="`filename` and its value in base64; other pairs are kept",
        ),
    ] = "",
) -> Response:
    """The bytes are sent by PATCH, none with this request. Concatenation (Upload-Concat) is not supported."""
    _require_no_body(request)
    if "upload-concat" in request.headers:
        raise BadRequestError("Upload-Concat is not supported: send the slide as one upload")
    if (length is None) == (deferred is None):
        raise BadRequestError("send either Upload-Length or 'Upload-Defer-Length: 1'")
    settings = service.settings
    name = clean_name(name_in_metadata(metadata))
    upload = Upload(uuid.uuid4().hex, client.group, name, length, metadata)
    begin_upload(settings, upload)
    add_audit_fields(request, upload=upload.id)
    headers = {"Location": link(f"{PREFIX}/{upload.id}"), **_expiry(settings, upload)}
    return Response(status_code=201, headers=headers)


@router.head(
    "/{upload_id}",
    summary="Offset of a resumable upload",
    response_class=Response,
    dependencies=_SPOKEN,
    responses={200: {"description": "As headers", "headers": _headers(*OF_UPLOAD)}, **problems(404, 412, 422)},
)
def get_upload_offset(service: ServiceDep, upload: UploadDep) -> Response:
    """`Upload-Offset` is the byte to continue from."""
    offset = tus.offset_of(service.settings, upload)
    headers = {"Upload-Offset": str(offset), **_expiry(service.settings, upload)}
    headers |= {"Upload-Defer-Length": "1"} if upload.length is None else {"Upload-Length": str(upload.length)}
    headers |= {"Upload-Metadata": upload.metadata} if upload.metadata else {}
    return Response(headers=headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    summary="Append to a resumable upload",
    response_class=Response,
    dependencies=_SPOKEN,
    responses={
        204: {"description": "The bytes are stored", "headers": _headers("Upload-Offset", "Upload-Expires")},
        **problems(400, 404, 408, 409, 412, 413, 415, 422, 423, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {OFFSET_BYTES: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def append_to_upload(
    request: Request,
    service: ServiceDep,
    upload: UploadDep,
    offset: Offset,
    length: Length = None,
) -> Response:
    """Bytes received before a connection breaks are kept. After the last byte the slide is checked and stored."""
    settings = service.settings
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != OFFSET_BYTES:
        raise HTTPException(415, f"PATCH needs 'Content-Type: {OFFSET_BYTES}'")
    allowance = await to_thread.run_sync(_allowance_besides, settings, upload)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        allowance.require(offset + int(declared))
        if upload.length is not None and offset + int(declared) > upload.length:
            raise TooLargeError(f"more bytes than Upload-Length says, {upload.length}")
    upload, offset = await service.appender.append(
        upload.id, request.stream(), at=offset, length=length, allowance=allowance
    )
    add_audit_fields(request, upload=upload.id, **({"slide": upload.sha256} if upload.sha256 else {}))
    expiry = await to_thread.run_sync(_expiry, settings, upload)
    return Response(status_code=204, headers={"Upload-Offset": str(offset), **expiry})


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Delete a resumable upload",
    response_class=Response,
    dependencies=_SPOKEN,
    responses=problems(404, 409, 412, 422, 423),
)
def delete_resumable_upload(service: ServiceDep, client: SubmitterDep, upload_id: UploadId) -> Response:
    """As `DELETE /uploads/{upload_id}`."""
    delete_upload(service, client, upload_id)
    return Response(status_code=204)


def _require_no_body(request: Request) -> None:
    length = request.headers.get("content-length", "0")
    if length != "0" or "transfer-encoding" in request.headers:
        raise BadRequestError("POST creates an upload and takes no body: send the bytes by PATCH")


def _allowance_besides(settings: Settings, upload: Upload) -> Allowance:
    return allowance_for(settings, upload.owner, besides=upload.id)


def _expiry(settings: Settings, upload: Upload) -> dict[str, str]:
    """The header with the time when the upload expires; none once it is complete."""
    if upload.sha256:
        return {}
    return {"Upload-Expires": formatdate(tus.expires_at(settings, upload), usegmt=True)}
