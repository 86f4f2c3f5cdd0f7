"""Links by which people without a key see one job: made, listed and revoked."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.api.contract.problems import problems
from service.api.contract.shares import MadeShareOut, ShareIn, ShareList, made_share_out, share_out
from service.api.running.context import JobDep, ServiceDep, SharerDep
from service.sharing.links import Asked
from service.sharing.shares import MAX_SHARES
from service.telemetry.audit import add_audit_fields

router = APIRouter(prefix="/jobs", tags=["shares"])

ShareId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="id of a share")]


@router.post(
    "/{job_id}/shares",
    status_code=201,
    summary="Make a link that shows this job to whoever has it",
    responses={201: {"description": "The link, which is told this once"}, **problems(404, 409, 422)},
)
def make_share(
    request: Request, response: Response, service: ServiceDep, job: JobDep, client: SharerDep, asked: ShareIn
) -> MadeShareOut:
    """It shows the slide, its names, the result and the review, and changes nothing, until it expires or is revoked."""
    wanted = Asked(job.id, by=client.name, note=asked.note, expires_in_h=asked.expires_in_h)
    made = service.links.make(wanted, now=time.time())
    body = made_share_out(made)
    add_audit_fields(
        request, event="share-made", job=job.id, share=made.share.id, expires_at=body.expires_at.isoformat()
    )
    response.headers["Cache-Control"] = "no-store"
    return body


@router.get("/{job_id}/shares", summary="The links to a job that are valid", responses=problems(404, 422))
def list_shares(service: ServiceDep, job: JobDep, _client: SharerDep) -> ShareList:
    """Who has made each, for whom, and until when; the links themselves are not kept."""
    found = service.links.shares.list_live(job.id, now=time.time())
    longest_h = service.links.longest_h if service.links.are_on else 0
    return ShareList(shares=[share_out(share) for share in found], most=MAX_SHARES, longest_h=longest_h)


@router.delete(
    "/{job_id}/shares/{share_id}",
    status_code=204,
    summary="Revoke a link",
    response_class=Response,
    responses=problems(404, 422),
)
def revoke_share(request: Request, service: ServiceDep, job: JobDep, _client: SharerDep, share_id: ShareId) -> Response:
    """With the next request, whoever has it is refused."""
    service.links.shares.revoke(job.id, share_id)
    add_audit_fields(request, event="share-revoked", job=job.id, share=share_id)
    return Response(status_code=204)
