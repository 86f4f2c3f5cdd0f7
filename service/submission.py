"""Submission: from a stored slide and the client's choices to a job, or to the answer that is known already."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from service import jobs
from service.auth import Client
from service.context import Service
from service.intake import StoredSlide
from service.jobs import Job, JobOptions, JobState, Priority, ScanRequest, TransitionError
from service.limits import IdempotencyConflictError, require_room
from service.sources import SourceNotFoundError, find_path
from service.store import DuplicateJobError


@dataclass(frozen=True)
class Choices:
    """What the client chose beside the slide; None means the model's value."""

    model: str | None = None
    threshold: float | None = None
    stride: int | None = None
    mpp: float | None = None
    exports: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    timeout_s: float | None = None
    webhook: str | None = None
    idempotency_key: str | None = None


class ExportImpossibleError(Exception):
    """A file was asked for that cannot be made of this slide."""


def submit(service: Service, client: Client, slide: StoredSlide, choices: Choices) -> Job:
    """A new job in the queue, or done if its result is there; the earlier job of the same idempotency key."""
    if "dicom" in choices.exports and slide.header.suffix != ".dcm":
        raise ExportImpossibleError("export=dicom needs a DICOM slide")
    request = _request(service, slide, choices)
    options = JobOptions(choices.priority, choices.timeout_s, choices.webhook)
    return _add(service, client, request, options=options, key=choices.idempotency_key)


def resubmit(service: Service, client: Client, job: Job, *, key: str | None) -> Job:
    """A new job that asks for the same as one that has failed or was cancelled."""
    if job.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise TransitionError(f"job {job.id} is {job.state}: only what has failed or was cancelled is tried again")
    request = job.request
    if Path(request.slide).is_absolute():  # It may have changed since, or no longer be allowed.
        request = replace(request, slide_sha256=find_path(request.slide, service.settings).sha256)
    elif not (service.settings.data.resolve() / request.slide).exists():
        raise SourceNotFoundError("the upload has been removed")
    entry = service.catalog.find(request.model)
    request = replace(request, model_sha256=entry.sha256, card_sha256=entry.card_sha256)
    return _add(service, client, request, options=job.options, key=key)


def _add(service: Service, client: Client, request: ScanRequest, *, options: JobOptions, key: str | None) -> Job:
    known = _find_known(service, client, request, key)
    if known:
        return known
    now = time.time()
    job = Job(uuid.uuid4().hex, request, client.name, now, options, idempotency_key=key)
    try:
        if service.results.has(request.result_key):
            job = jobs.finish(job, now=now, cached=True)
            service.store.insert(job, enqueue=lambda _connection: None)
        else:
            require_room(service.store, service.settings, client.name)
            service.store.insert(job, enqueue=partial(_enqueue, service, job))
    except DuplicateJobError:  # The same key came twice at the same moment.
        known = _find_known(service, client, request, key)
        if known is None:
            raise
        return known
    return job


def _enqueue(service: Service, job: Job, connection: sa.Connection) -> None:
    """Hand the job to the queue, unless others were quicker: who inserts a job has the store to itself here."""
    require_room(service.store, service.settings, job.client)
    service.queue.enqueue(connection, job)


def _request(service: Service, slide: StoredSlide, choices: Choices) -> ScanRequest:
    entry = service.catalog.find(choices.model)
    return ScanRequest(
        slide=slide.path,
        slide_sha256=slide.sha256,
        slide_name=slide.name,
        model=entry.name,
        model_sha256=entry.sha256,
        card_sha256=entry.card_sha256,
        threshold=choices.threshold,
        stride=choices.stride,
        mpp=choices.mpp,
        exports=tuple(sorted(set(choices.exports))),
    )


def _find_known(service: Service, client: Client, request: ScanRequest, key: str | None) -> Job | None:
    job = service.store.find_by_idempotency_key(client.name, key) if key else None
    if job and job.request.result_key != request.result_key:
        raise IdempotencyConflictError("the key came with another slide, model or setting before")
    return job


def is_small(slide: StoredSlide, limit_pixels: int) -> bool:
    """True if a client can wait for the slide's scan."""
    pixels = slide.header.pixels
    return pixels is not None and pixels <= limit_pixels
