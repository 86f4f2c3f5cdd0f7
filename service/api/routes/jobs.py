"""The jobs: show, follow, cancel, purge and retry them, and their detections."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.api.contract.problems import LOCATION, problems
from service.api.contract.requests import MAX_DETECTIONS, Threshold
from service.api.contract.schemas import (
    DetectionsOut,
    JobOut,
    detections_out,
    job_out,
)
from service.api.running.context import IdempotencyKey, JobDep, Service, ServiceDep, SubmitterDep
from service.jobs import lifecycle
from service.jobs.deleting import purge_job
from service.jobs.lifecycle import Job, JobState
from service.jobs.submission import resubmit
from service.jobs.summary import summary_from_job
from service.results.results import Answer, NotFinishedError
from service.telemetry.audit import add_audit_fields

router = APIRouter(prefix="/jobs", tags=["jobs"])

_EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["job", "end"]}, "id": {"type": "string"}, "data": {"type": "string"}},
}


@router.get("/{job_id}", summary="A job, with its progress or its result", responses=problems(404, 422))
def get_job(service: ServiceDep, job: JobDep) -> JobOut:
    """`problem` says why a job has failed."""
    return job_out(job, _answer_if_any(service, job))


@router.delete(
    "/{job_id}",
    summary="Cancel a job, or purge it",
    responses={
        200: {"description": "Cancelled"},
        202: {"model": JobOut, "description": "Its worker will stop at the next tile"},
        204: {"description": "Purged"},
        **problems(404, 409, 422),
    },
    response_model=JobOut,
)
async def delete_job(
    request: Request,
    service: ServiceDep,
    job: JobDep,
    _client: SubmitterDep,
    purge: Annotated[bool, Query(description="also delete the job, its result and its upload")] = False,
) -> Response:
    """A waiting job is cancelled at once, a running one at its next tile.

    With `purge`, a job that has not ended is cancelled first. Its result and its upload are deleted too, unless another
    job needs them or another group has uploaded the same slide.
    """
    if purge:
        await purge_job(service, job)
        add_audit_fields(request, job=job.id, purged="true")
        return Response(status_code=204)
    cancelling = partial(lifecycle.request_cancel, now=time.time())
    changed = await to_thread.run_sync(service.store.update, job.id, cancelling)
    status = 200 if changed.state is JobState.CANCELLED else 202
    return JSONResponse(job_out(changed, None).model_dump(mode="json"), status)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Retry a failed or cancelled job",
    responses={
        202: {"description": "A new job; follow Location", "headers": LOCATION},
        **problems(404, 409, 422, 503),
    },
)
async def retry_job(
    request: Request,
    response: Response,
    service: ServiceDep,
    job: JobDep,
    _client: SubmitterDep,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """Creates a new job with the same slide, settings, priority, timeout, webhook and store; the old job stays."""
    again = await service.submissions.run(partial(resubmit, service, job, key=idempotency_key))
    add_audit_fields(request, job=again.id, retried=job.id)
    body = job_out(again, None)
    response.headers["Location"] = body.links["self"]
    return body


@router.get(
    "/{job_id}/events",
    summary="Follow a job (server-sent events)",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "`job`, ..., `end`"},
        **problems(404, 422),
    },
)
async def follow_job(service: ServiceDep, job: JobDep) -> EventSourceResponse:
    """Each event `job` has the job as in the list; the event `end` comes last."""
    return EventSourceResponse(_events(service, job.id), headers={"Cache-Control": "no-store"})


@router.get(
    "/{job_id}/detections",
    summary="The detections at any threshold, without a rescan",
    responses=problems(404, 409, 410, 422),
)
def list_detections(
    service: ServiceDep,
    job: JobDep,
    threshold: Annotated[
        Threshold | None, Query(description="lowest score of a detection; by default the threshold of the scan")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_DETECTIONS, description="most in this answer")] = MAX_DETECTIONS,
    offset: Annotated[int, Query(ge=0, le=10**9, description="how many to leave out, those of highest score")] = 0,
) -> DetectionsOut:
    """Any threshold down to `candidate_floor`: candidates with lower scores are not kept.

    `total` says how many there are; `limit` and `offset` fetch them page by page.
    """
    answer = _answer_if_any(service, job)
    if answer is None:
        raise NotFinishedError(f"the job is {job.state}")
    return detections_out(job, answer, threshold, slice(offset, offset + limit))


async def _events(service: Service, job_id: str) -> AsyncIterator[ServerSentEvent]:
    async for job in service.waiter.changes(job_id):
        summary = summary_from_job(job).model_dump_json()
        yield ServerSentEvent(summary, event="job", id=str(job.version))
    yield ServerSentEvent("{}", event="end")


def _answer_if_any(service: Service, job: Job) -> Answer | None:
    return service.results.answer(job.request.result_key) if job.state is JobState.SUCCEEDED else None
