"""A region of a job's slide, scanned again; and the other jobs of that slide."""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from service.api.contract.problems import LOCATION, problems
from service.api.contract.rescans import RescanIn, SiblingsOut
from service.api.contract.schemas import JobOut, job_out
from service.api.routes.viewer import size_of
from service.api.running.context import ClientDep, IdempotencyKey, JobDep, ServiceDep, SubmitterDep
from service.jobs.lifecycle import JobState
from service.jobs.rescanning import RescanChoices, require_cells, require_slide, rescan
from service.jobs.summary import summary_from_job
from service.slides_in.region import region_from_ring
from service.telemetry.audit import add_audit_fields

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "/{job_id}/rescan",
    status_code=202,
    summary="Scan a region of a job's slide",
    responses={
        202: {"description": "A new job; follow Location", "headers": LOCATION},
        **problems(403, 404, 409, 410, 413, 422, 503),
    },
)
async def rescan_job(
    request: Request,
    response: Response,
    service: ServiceDep,
    job: JobDep,
    _client: SubmitterDep,
    asked: RescanIn,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """Creates a new job with the same slide, name and case, restricted to a polygon; the old job stays.

    Without a new upload, in any state of the old job. What is counted per mm2 is the tissue in the region.
    """
    entry = service.catalog.find(asked.model or job.request.model)
    await to_thread.run_sync(require_slide, job.request, service.settings)
    width, height, mpp = await size_of(service, job)
    region = region_from_ring(asked.ring, width=width, height=height)
    checking = partial(require_cells, region, width=width, height=height, mpp=mpp or entry.mpp)
    await to_thread.run_sync(checking)
    choices = RescanChoices(region, asked.model, asked.threshold, asked.stride)
    again = await service.submissions.run(partial(rescan, service, job, choices, key=idempotency_key))
    add_audit_fields(request, job=again.id, rescanned=job.id)
    is_known = again.state is JobState.SUCCEEDED
    body = job_out(again, service.results.answer(again.request.result_key) if is_known else None)
    response.headers["Location"] = body.links["self"]
    return body


@router.get("/{job_id}/siblings", summary="Other jobs of the same slide", responses=problems(404, 422))
def list_siblings(service: ServiceDep, client: ClientDep, job: JobDep) -> SiblingsOut:
    """Those of the same group, in any state: whole slides and regions, by whatever model; at most 200.

    Whoever comes by a share link sees its job alone: none.
    """
    siblings = [one for one in service.store.list_siblings(job) if client.may_see_job(one.id, one.client)]
    return SiblingsOut(jobs=[summary_from_job(one) for one in siblings])
