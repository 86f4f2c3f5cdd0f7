"""Files of what stands after a review: the figures, and labels for training. They are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

from anyio import to_thread
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from scanner.errors import ScannerError
from service.access.limits import require_disk
from service.api.contract.problems import problems
from service.api.routes.files import REPORT_POLICY, FinishedJobDep
from service.api.routes.viewer import source_of, unreadable_as_missing
from service.api.running.context import Service, ServiceDep
from service.jobs.lifecycle import Job
from service.jobs.summary import shown_name
from service.results.results import Answer
from service.results.viewer_tiles import SlideChangedError, slide_crop
from service.review.hotspot import hotspot_of
from service.review.labels import FIELD_BYTES, LabelsFile, cut_field, plan_labels
from service.review.marks import Mark, count_figures
from service.review.report import MAX_PICTURES, Reviewed, report_text
from service.review.reviewed import geojson_text, reviewed_figures, table_text

router = APIRouter(prefix="/jobs", tags=["review"])

#: Bytes of an answer that are read from the disk at once.
PIECE = 1 << 20
#: Side of the picture of a figure, micrometres.
CROP_UM = 50


@router.get(
    "/{job_id}/files/detections.reviewed.csv",
    summary="The figures that count after the review, as a table",
    response_class=Response,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The table"},
        **problems(404, 409, 410, 422),
    },
)
def get_reviewed_table(service: ServiceDep, job: FinishedJobDep) -> Response:
    """As detections.csv, and the newest verdict on each figure, who gave it, when, and the note."""
    answer, marks = _reviewed(service, job)
    figures = reviewed_figures(answer, marks)
    return _download(table_text(figures, mpp=answer.image["mpp"]), "text/csv; charset=utf-8")


@router.get(
    "/{job_id}/files/detections.reviewed.geojson",
    summary="The figures that count after the review, for QuPath",
    response_class=Response,
    responses={
        200: {"content": {"application/geo+json": {"schema": {"type": "object"}}}, "description": "GeoJSON"},
        **problems(404, 409, 410, 422),
    },
)
def get_reviewed_geojson(service: ServiceDep, job: FinishedJobDep) -> Response:
    """As detections.geojson; verdict, reviewer, time and note are metadata of each point."""
    answer, marks = _reviewed(service, job)
    figures = reviewed_figures(answer, marks)
    return _download(geojson_text(figures, origin=answer.origin), "application/geo+json")


@router.get(
    "/{job_id}/files/labels.zip",
    summary="What was reviewed, for training and evaluation",
    response_class=Response,
    responses={
        200: {
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            "description": "Fields at the model's mpp, labels.csv and hard_negatives.csv",
        },
        **problems(404, 409, 410, 422, 503, 507),
    },
)
async def get_labels(service: ServiceDep, job: FinishedJobDep) -> StreamingResponse:
    """Small fields around what was accepted, rejected or added, as `mitoscan train` and `evaluate` read them.

    Rejected ones are hard negatives; candidates that nobody judged, or nobody was sure of, are to be ignored.
    """
    answer, marks = await to_thread.run_sync(_reviewed, service, job)
    mpp = service.catalog.find(job.request.model).mpp
    plan = plan_labels(answer, marks, model_mpp=mpp)
    require_disk(service.settings, len(plan.fields) * FIELD_BYTES)
    slide = source_of(service, job)
    file = TemporaryFile(dir=service.settings.data)  # noqa: SIM115 - it is closed once it has been sent
    labels = LabelsFile(file, prefix=job.id[:12], case=job.options.case or job.request.slide_name)
    for field in plan.fields:
        with unreadable_as_missing():
            labels.add(field, await service.tiles.run(cut_field, slide, plan.frame, field.box))
    case = job.options.case
    source = {"job": job.id, "name": job.request.slide_name, "case": case, "model": answer.model, "mpp": mpp}
    labels.finish(source)
    headers = {"Content-Length": str(file.tell()), "Cache-Control": "private, no-store"}
    return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)


@router.get(
    "/{job_id}/files/report.reviewed.html",
    summary="The reviewed count as a page to print and sign",
    response_class=HTMLResponse,
    responses=problems(404, 409, 410, 422, 503),
)
async def get_reviewed_report(service: ServiceDep, job: FinishedJobDep) -> HTMLResponse:
    """Count per mm2, hotspot with its high-power fields, reviewers and their agreement, and every figure."""
    reviewed = await to_thread.run_sync(_reviewed_with_hotspot, service, job)
    crops = []
    if job.request.slide:
        source, side = source_of(service, job), round(CROP_UM / reviewed.answer.image["mpp"])
        for one in reviewed.figures[:MAX_PICTURES]:
            with suppress(ScannerError, SlideChangedError):  # The page lacks pictures then.
                crops.append(await service.tiles.run(slide_crop, source, (round(one.y), round(one.x)), side))
    text = await to_thread.run_sync(report_text, reviewed, crops)
    headers = {"Cache-Control": "private, no-store", "Content-Security-Policy": REPORT_POLICY}
    return HTMLResponse(text, headers=headers)


def _reviewed_with_hotspot(service: Service, job: Job) -> Reviewed:
    answer, marks = _reviewed(service, job)
    figures = reviewed_figures(answer, marks)
    count = count_figures(marks, model=answer.count, mpp=answer.image["mpp"])
    hotspot = hotspot_of(service.results, job, answer, figures)
    return Reviewed(shown_name(job), answer, marks, count, figures, hotspot, job.request.region)


def _reviewed(service: Service, job: Job) -> tuple[Answer, list[Mark]]:
    return service.results.answer(job.request.result_key), service.reviews.marks(job.id)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def _download(text: str, media_type: str) -> Response:
    return Response(text, media_type=media_type, headers={"Cache-Control": "private, no-store"})
