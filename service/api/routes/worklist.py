"""The list of jobs: page by page, as a table, and the results of several jobs in one zip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from service.api.contract.problems import problems
from service.api.contract.worklists import (
    JobList,
    ListedJob,
    ListQuery,
    PageQuery,
    UnreadableOut,
    cursor_text,
    listed_job,
    place_from,
)
from service.api.routes.files import FinishedJobDep, get_finished_job
from service.api.running.context import ClientDep, Service, ServiceDep, get_job
from service.jobs.lifecycle import Job
from service.jobs.summary import shown_name
from service.proxies import link
from service.results.naming import NAMED, name_file
from service.results.results import GONE, ResultGoneError
from service.results.zipping import zip_pieces
from service.review.reviewed import geojson_text, reviewed_figures, table_text
from service.review.worklist import ListedRow, Order, Place, Wanted
from service.review.worktable import table_lines

router = APIRouter(tags=["jobs"])

#: Most jobs of one zip.
MAX_ZIPPED = 100
#: Jobs that the table is read by.
BATCH = 500
#: The table of the jobs in a zip.
TABLE = "jobs.csv"

_ZIP: dict[str, Any] = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
JobIds = Annotated[
    list[Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]],
    Query(alias="id", min_length=1, max_length=MAX_ZIPPED, description="ids of jobs that have succeeded"),
]


@router.get("/jobs", summary="Your jobs: search, sort, page", responses=problems(422))
def list_jobs(service: ServiceDep, client: ClientDep, query: Annotated[PageQuery, Query()]) -> JobList:
    """The jobs of this API key, newest first; an admin sees the jobs of all.

    Pages stay right while jobs arrive: follow `next` and `previous`.
    """
    order = query.order
    place = place_from(query.cursor, order) if query.cursor else None
    page = service.worklist.page(query.wanted(client.sees), order=order, place=place, limit=query.limit)
    listed = [listed_job(row) for row in page.rows]
    return JobList(
        jobs=[job for job in listed if isinstance(job, ListedJob)],
        unreadable=[job for job in listed if isinstance(job, UnreadableOut)],
        total=page.total,
        offset=page.offset,
        next=_link(query, page.next),
        previous=_link(query, page.previous),
    )


@router.get(
    "/jobs.csv",
    summary="Your jobs as a table",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "The table"}, **problems(422)},
)
def get_table(service: ServiceDep, client: ClientDep, query: Annotated[ListQuery, Query()]) -> StreamingResponse:
    """All jobs of a search, in its order: names, counts, counts per mm2, and how far their reviews are."""
    rows = _all_rows(service, query.wanted(client.sees), query.order)
    headers = {"Cache-Control": "private, no-store", "Content-Disposition": f'attachment; filename="{TABLE}"'}
    return StreamingResponse(table_lines(rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get(
    "/jobs.zip",
    summary="The results of several jobs",
    response_class=Response,
    responses={
        200: {"content": _ZIP, "description": "A folder for each job, and a table"},
        **problems(404, 409, 410, 422),
    },
)
def get_results(service: ServiceDep, client: ClientDep, ids: JobIds) -> StreamingResponse:
    """Each job's files in a folder named by its id, and `jobs.csv`, which says whose they are."""
    found = [get_finished_job(get_job(job_id, client, service)) for job_id in dict.fromkeys(ids)]
    for job in found:
        _require_result(service, job)
    return _zip(_several(service, found), "mitoscan-results.zip")


@router.get(
    "/jobs/{job_id}/files.zip",
    summary="All files of a result",
    response_class=Response,
    responses={200: {"content": _ZIP, "description": "The files"}, **problems(404, 409, 410, 422)},
)
def get_result(service: ServiceDep, job: FinishedJobDep) -> StreamingResponse:
    """Those of `files`, but for the map as OME-Zarr; after a review also the reviewed table and GeoJSON."""
    _require_result(service, job)
    return _zip(_files_of(service, job), f"{job.id}.zip")


def _link(query: PageQuery, place: Place | None) -> str | None:
    if place is None:
        return None
    said = query.model_dump(mode="json", exclude_unset=True) | {"cursor": cursor_text(place, query.order)}
    return link(f"/jobs?{urlencode({name: value for name, value in said.items() if value is not None})}")


def _all_rows(service: Service, wanted: Wanted, order: Order) -> Iterator[ListedRow]:
    place: Place | None = None
    while True:
        page = service.worklist.page(wanted, order=order, place=place, limit=BATCH)
        yield from page.rows
        if page.next is None:
            return
        place = page.next


def _several(service: Service, jobs: list[Job]) -> Iterator[tuple[str, Path | bytes]]:
    wanted = Wanted(ids=tuple(job.id for job in jobs))
    yield TABLE, "".join(table_lines(_all_rows(service, wanted, Order()))).encode()
    for job in jobs:
        for name, content in _files_of(service, job):
            yield f"{job.id}/{name}", content


def _files_of(service: Service, job: Job) -> Iterator[tuple[str, Path | bytes]]:
    """The files of a result by their names, with the job's own name in them."""
    results, key = service.results, job.request.result_key
    for name in results.names(key):
        path = results.file(key, name)
        yield name, name_file(path, shown_name(job)) if name in NAMED else path
    if marks := service.reviews.marks(job.id):
        answer = results.answer(key)
        figures = reviewed_figures(answer, marks)
        yield "detections.reviewed.csv", table_text(figures, mpp=answer.image["mpp"]).encode()
        yield "detections.reviewed.geojson", geojson_text(figures, origin=answer.origin).encode()


def _require_result(service: Service, job: Job) -> None:
    if not service.results.has(job.request.result_key):
        raise ResultGoneError(f"job {job.id}: {GONE}")


def _zip(files: Iterator[tuple[str, Path | bytes]], name: str) -> StreamingResponse:
    headers = {"Cache-Control": "private, no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(zip_pieces(files), media_type="application/zip", headers=headers)
