"""Submission: makes a job from a stored slide and the client's choices, or reuses a result that exists."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from service.access.keys import Client
from service.access.limits import BusyError, TooManyRequestsError, require_disk
from service.jobs import lifecycle
from service.jobs.backend import JobBackend
from service.jobs.lifecycle import EXACT, Fetch, Job, JobOptions, JobState, Priority, ScanRequest, TransitionError
from service.jobs.store import DuplicateJobError
from service.problems import ReportedError
from service.slides_in.image_headers import Header
from service.slides_in.remote import check_url, name_in
from service.slides_in.server_paths import SourceNotFoundError, find_path
from service.slides_in.store_slide import StoredSlide, clean_name


@dataclass(frozen=True)
class Choices:
    """The client's choices; None means the model's default."""

    model: str | None = None
    threshold: float | None = None
    stride: int | None = None
    mpp: float | None = None
    image: int | None = None
    keep_ink: bool = False
    precision: str = EXACT
    exports: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    timeout_s: float | None = None
    webhook: str | None = None
    store: str | None = None
    #: Name to show instead of the slide's file name.
    name: str | None = None
    case: str = ""
    idempotency_key: str | None = None

    @property
    def all_exports(self) -> tuple[str, ...]:
        """The exports, with the one that `store` sends, in alphabetical order."""
        return tuple(sorted({*self.exports, *(("dicom",) if self.store else ())}))


class IdempotencyConflictError(ReportedError):
    """The idempotency key was used for another request."""

    problem_type = "idempotency-conflict"


class ExportImpossibleError(ReportedError):
    """An export was requested that cannot be made from this slide."""

    problem_type = "export-impossible"


def submit(backend: JobBackend, client: Client, slide: StoredSlide, choices: Choices) -> Job:
    """A new job, queued, or succeeded if its group has its result; or the earlier job with the same idempotency key."""
    check_exports(choices.all_exports, slide)
    request = _request(backend, choices, slide=slide.path, sha256=slide.sha256, name=slide.name)
    return add_job(backend, _job(client, request, choices))


def submit_url(backend: JobBackend, client: Client, url: str, choices: Choices) -> Job:
    """A new job whose slide a worker fetches first; or the earlier job with the same idempotency key."""
    check_url(url, backend.settings)
    require_disk(backend.settings)
    fetch = Fetch(url)
    request = _request(backend, choices, slide="", sha256=fetch.identity, name=clean_name(name_in(url)))
    return add_job(backend, replace(_job(client, request, choices), fetch=fetch))


def check_exports(exports: tuple[str, ...], slide: StoredSlide) -> None:
    """Raise ExportImpossibleError if an export cannot be made from this slide."""
    if "dicom" in exports and slide.header.suffix != ".dcm":
        raise ExportImpossibleError("export=dicom needs a DICOM slide")


def resubmit(backend: JobBackend, job: Job, *, key: str | None) -> Job:
    """A new job with the request of one that has failed or was cancelled."""
    if job.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise TransitionError(f"job {job.id} is {job.state}: only failed or cancelled jobs can be retried")
    request, fetch = job.request, job.fetch and Fetch(job.fetch.url)
    if fetch:  # Fetch it again: the URL may have another slide by now.
        check_url(fetch.url, backend.settings)
        request = replace(job.original_request, slide="")
    elif Path(request.slide).is_absolute():  # It may have changed since, or no longer be allowed.
        request = replace(request, slide_sha256=find_path(request.slide, backend.settings).sha256)
    elif not (backend.settings.data.resolve() / request.slide).exists():
        raise SourceNotFoundError("the upload has been removed")
    entry = backend.catalog.find(request.model)
    request = replace(request, model_sha256=entry.sha256, card_sha256=entry.card_sha256)
    # Of the same group, also if an admin of another retries it.
    again = Job(uuid.uuid4().hex, request, job.client, time.time(), job.options, fetch, idempotency_key=key)
    return add_job(backend, again)


def _job(client: Client, request: ScanRequest, choices: Choices) -> Job:
    options = JobOptions(choices.priority, choices.timeout_s, choices.webhook, choices.store, choices.case)
    key = choices.idempotency_key
    return Job(uuid.uuid4().hex, request, client.group, time.time(), options, idempotency_key=key)


def add_job(backend: JobBackend, job: Job) -> Job:
    """The job, stored and enqueued; or the earlier one with its idempotency key."""
    known = _find_known(backend, job)
    if known:
        return known
    try:
        figures = backend.own_figures(job)
        if figures is not None:
            job = lifecycle.finish(job, now=time.time(), figures=figures, cached=True)
            backend.store.insert(job, enqueue=lambda _connection: None)
        else:
            backend.store.insert(job, admit=partial(_admit, backend, job), enqueue=partial(_enqueue, backend, job))
    except DuplicateJobError:  # The same key came twice at the same moment.
        known = _find_known(backend, job)
        if known is None:
            raise
        return known
    return job


def _admit(backend: JobBackend, job: Job, connection: sa.Connection) -> None:
    """Raise if the group or the service has too many open jobs, as that transaction sees them."""
    store, settings = backend.store, backend.settings
    if store.count_open(job.client, connection=connection) >= settings.max_client_jobs:
        raise TooManyRequestsError(
            f"this group has {settings.max_client_jobs} open jobs, the most allowed (max_client_jobs)"
        )
    if store.count_open(connection=connection) >= settings.max_open_jobs:
        raise BusyError(f"{settings.max_open_jobs} jobs are open, the most allowed (max_open_jobs)")


def _enqueue(backend: JobBackend, job: Job, connection: sa.Connection) -> None:
    (backend.queue.enqueue_fetch if job.awaits_slide else backend.queue.enqueue)(connection, job)


def _request(backend: JobBackend, choices: Choices, *, slide: str, sha256: str, name: str) -> ScanRequest:
    entry = backend.catalog.find(choices.model)
    return ScanRequest(
        slide=slide,
        slide_sha256=sha256,
        slide_name=choices.name or name,
        model=entry.name,
        model_sha256=entry.sha256,
        card_sha256=entry.card_sha256,
        threshold=choices.threshold,
        stride=choices.stride,
        mpp=choices.mpp,
        image=choices.image,
        keep_ink=choices.keep_ink,
        precision=choices.precision,
        exports=choices.all_exports,
    )


def _find_known(backend: JobBackend, job: Job) -> Job | None:
    key = job.idempotency_key
    known = backend.store.find_by_idempotency_key(job.client, key) if key else None
    if known and known.original_request.result_key != job.original_request.result_key:
        raise IdempotencyConflictError("the key was used before with another slide, model or setting")
    return known


def is_small(header: Header, limit_pixels: int) -> bool:
    """True if the slide is small enough for a client to wait for its scan."""
    return header.pixels is not None and header.pixels <= limit_pixels
