"""The review of a result: verdicts of people on what the model found, and figures that it missed."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from scanner.detections.detection import id_of_place
from scanner.detections.hotspots import describe_hotspot
from service.access.keys import LOCAL, Client
from service.api.contract.problems import LOCATION, problems
from service.api.contract.requests import PLAIN_TEXT
from service.api.contract.reviews import (
    CountOut,
    FigureIn,
    MarkOut,
    ReviewOut,
    VerdictIn,
    agreement_out,
    mark_out,
)
from service.api.routes.files import FinishedJobDep
from service.api.running.context import ClientDep, ReviewerDep, Service, ServiceDep
from service.jobs.lifecycle import Job
from service.problems import ReportedError
from service.proxies import link
from service.results.results import Answer, FileNotInResultError, ResultGoneError
from service.review.hotspot import hotspot_of
from service.review.marks import Mark, Verdict, agreements, count_figures
from service.review.reviewed import kept_of, mark_of_candidate, reviewed_figures
from service.review.reviews import ReviewedResult
from service.telemetry.audit import add_audit_fields

router = APIRouter(prefix="/jobs", tags=["review"])

MarkId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="id of a detection, a candidate or an added figure")
]
Reviewer = Annotated[
    str | None,
    Query(min_length=1, max_length=64, pattern=PLAIN_TEXT, description="who reviews; by default the name of the key"),
]


class OffSlideError(ReportedError):
    """A figure was added where the slide is not."""

    problem_type = "invalid-request"


@router.get("/{job_id}/review", summary="The review of a result", responses=problems(404, 409, 410, 422))
def get_review(service: ServiceDep, job: FinishedJobDep, client: ClientDep, reviewer: Reviewer = None) -> ReviewOut:
    """All verdicts, the counts that follow, and how far reviewers agree; stays when the result's files are removed."""
    marks = service.reviews.marks(job.id)
    result = service.reviews.result(job.id) or kept_of(_answer(service, job))
    count = count_figures(marks, model=result.count, mpp=result.mpp)
    return ReviewOut(
        count=CountOut(**asdict(count)),
        per_mm2=round(count.reviewed / result.counted_mm2, 6) if result.counted_mm2 else None,
        hotspot=_hotspot(service, job, marks),
        marks=[mark_out(mark) for mark in marks],
        by=_name(client, reviewer),
        agreement=[agreement_out(one) for one in agreements(marks)],
    )


@router.put(
    "/{job_id}/review/marks/{mark_id}",
    summary="Give a verdict on a detection or candidate",
    responses=problems(404, 409, 410, 422),
)
def put_verdict(
    request: Request,
    service: ServiceDep,
    job: FinishedJobDep,
    client: ReviewerDep,
    mark_id: MarkId,
    said: VerdictIn,
    reviewer: Reviewer = None,
) -> MarkOut:
    """In place of an earlier verdict of the same reviewer; verdicts of others stay beside it."""
    judged, result = _find_mark(service, job, mark_id)
    mark = replace(
        judged,
        verdict=Verdict(said.verdict),
        by=_name(client, reviewer),
        at=time.time(),
        label=said.label or judged.label,
        note=said.note,
    )
    return _keep(request, service, job, mark, result)


@router.post(
    "/{job_id}/review/marks",
    status_code=201,
    summary="Add a figure that the model missed",
    responses={201: {"headers": LOCATION, "description": "Added"}, **problems(404, 409, 410, 422)},
)
def add_figure(
    request: Request,
    response: Response,
    service: ServiceDep,
    job: FinishedJobDep,
    client: ReviewerDep,
    figure: FigureIn,
    reviewer: Reviewer = None,
) -> MarkOut:
    """The same figure sent again is the same mark."""
    result = service.reviews.result(job.id) or kept_of(_answer(service, job))
    x, y = round(figure.x, 3), round(figure.y, 3)
    if not (0 <= x < result.width and 0 <= y < result.height):
        raise OffSlideError(f"({x}, {y}) lies off the slide, which has {result.width} x {result.height} px")
    mark = Mark(
        id=id_of_place(y, x, "added"),
        x=x,
        y=y,
        verdict=Verdict.ADDED,
        by=_name(client, reviewer),
        at=time.time(),
        label=figure.label or result.label,
        note=figure.note,
        is_added=True,
    )
    response.headers["Location"] = link(f"/jobs/{job.id}/review/marks/{mark.id}")
    return _keep(request, service, job, mark, result)


@router.delete(
    "/{job_id}/review/marks/{mark_id}",
    status_code=204,
    summary="Take a verdict or an added figure back",
    responses=problems(404, 409, 422),
)
def take_back_verdict(
    request: Request,
    service: ServiceDep,
    job: FinishedJobDep,
    client: ReviewerDep,
    mark_id: MarkId,
    reviewer: Reviewer = None,
) -> None:
    """Only what the same reviewer has said; to object to a figure that another has added, reject it."""
    by = _name(client, reviewer)
    service.reviews.take_back(job.id, mark_id, by=by)
    add_audit_fields(request, job=job.id, mark=mark_id, verdict="taken back", by=by)


def _keep(request: Request, service: Service, job: Job, mark: Mark, result: ReviewedResult) -> MarkOut:
    """Write a mark, to the review and to the audit trail."""
    service.reviews.put(job.id, mark, result)
    add_audit_fields(request, job=job.id, mark=mark.id, verdict=str(mark.verdict), by=mark.by)
    return mark_out(mark)


def _find_mark(service: Service, job: Job, mark_id: str) -> tuple[Mark, ReviewedResult]:
    """The mark of that id, whatever was said of it, and what is kept of its result."""
    known, kept = service.reviews.find(job.id, mark_id), service.reviews.result(job.id)
    if known is not None and kept is not None:  # The result itself may have been removed.
        return known, kept
    answer = _answer(service, job)
    return mark_of_candidate(answer, mark_id), kept_of(answer)


def _hotspot(service: Service, job: Job, marks: list[Mark]) -> dict[str, Any] | None:
    try:
        answer = _answer(service, job)
        found = hotspot_of(service.results, job, answer, reviewed_figures(answer, marks))
    except (ResultGoneError, FileNotInResultError):
        return None
    return None if found is None else describe_hotspot(found)


def _answer(service: Service, job: Job) -> Answer:
    return service.results.answer(job.request.result_key)


def _name(client: Client, reviewer: str | None) -> str:
    """Who reviews. Behind a key, the key's name goes with what its user calls themselves."""
    if reviewer is None:
        return client.name
    return reviewer if client is LOCAL else f"{reviewer} ({client.name})"
