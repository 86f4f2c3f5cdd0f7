"""Two results of one slide, compared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.contract.comparisons import ComparisonOut, comparison_out
from service.api.contract.problems import problems
from service.api.contract.requests import Threshold
from service.api.routes.files import FinishedJobDep, get_finished_job
from service.api.running.context import ClientDep, Service, ServiceDep, get_job
from service.jobs.lifecycle import Job
from service.jobs.store import JobNotFoundError
from service.results.comparison import Compared, compare

router = APIRouter(prefix="/jobs", tags=["jobs"])

OtherId = Annotated[
    str, Query(alias="with", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="id of another job of the slide")
]


@router.get("/{job_id}/comparison", summary="Compare two jobs of one slide", responses=problems(404, 409, 410, 422))
def compare_jobs(
    service: ServiceDep,
    client: ClientDep,
    job: FinishedJobDep,
    other_id: OtherId,
    threshold: Annotated[Threshold | None, Query(description="of this job; by default that of its scan")] = None,
    other_threshold: Annotated[Threshold | None, Query(description="of the other; by default that of its scan")] = None,
) -> ComparisonOut:
    """Each detection of this job, by falling score, is the same as the nearest of the other that is free and in reach.

    Those at the slide's border count in neither job, and are left out.
    """
    other = get_job(other_id, client, service)
    if other.client != job.client:  # An admin sees both.
        raise JobNotFoundError(f"no job {other_id!r} of the group of job {job.id!r}")
    sides = _side(service, job, threshold), _side(service, get_finished_job(other), other_threshold)
    return comparison_out(job.id, other.id, sides, compare(*sides))


def _side(service: Service, job: Job, threshold: float | None) -> Compared:
    answer = service.results.answer(job.request.result_key)
    chosen = answer.threshold if threshold is None else threshold
    return Compared(job.request.slide_sha256, answer, chosen, job.request.region)
