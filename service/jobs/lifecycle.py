"""Job: one scan asked of the service, and its state transitions. Pure functions: the time is passed in.

QUEUED ──start──> RUNNING ──finish──> SUCCEEDED
   │                 ├─────fail─────> FAILED
   │                 ├────cancel────> CANCELLED
   └──finish, fail, cancel            RUNNING ──requeue──> QUEUED   (its worker stopped or died)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from service.jobs.delivery import Delivery
from service.problems import ReportedError
from service.results.results import Figures
from service.slides_in.region import Region

#: Of `scanner.settings.PRECISIONS`: that of a scan unless its client asks for another.
EXACT = "float32"
#: Fields that earlier versions did not have, as they are where nobody has chosen: then they are neither written nor in
#: a result's key, so that older versions read the job, and older results are found.
LATER_FIELDS = {"card_sha256": "", "image": None, "keep_ink": False, "precision": EXACT, "region": ()}


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "QUEUED"  # waits for a worker
    RUNNING = "RUNNING"  # a worker scans
    SUCCEEDED = "SUCCEEDED"  # all files are written
    FAILED = "FAILED"  # `problem` says why
    CANCELLED = "CANCELLED"  # its client asked for it

    @property
    def is_final(self) -> bool:
        """True for states that a job never leaves."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class TransitionError(ReportedError):
    """The job is not in a state that allows this."""

    problem_type = "job-finished"


@dataclass(frozen=True)
class ScanRequest:
    """The slide to scan, the model and the settings."""

    #: The slide file: relative to the data folder, or absolute in an allowed folder of the server; empty while
    #: it is still to be fetched.
    slide: str
    #: Identity of the slide's bytes: SHA-256 of an upload, a fingerprint of a file on the server.
    slide_sha256: str
    #: The client's name for the slide. Shown, never used as a path.
    slide_name: str
    model: str
    model_sha256: str
    #: SHA-256 of the model's whole card; empty in jobs of versions that did not store it.
    card_sha256: str = ""
    threshold: float | None = None
    stride: int | None = None
    mpp: float | None = None
    #: Index of the image of the slide's file; None: the first that is no overview.
    image: int | None = None
    keep_ink: bool = False
    precision: str = EXACT
    #: Exports, in alphabetical order.
    exports: tuple[str, ...] = ()
    #: The only part of the slide that is scanned; empty: all of it.
    region: Region = ()

    def fields(self) -> dict[str, Any]:
        """All but those of LATER_FIELDS that nobody has chosen."""
        return {name: value for name, value in asdict(self).items() if value != LATER_FIELDS.get(name, ...)}

    @property
    def result_key(self) -> str:
        """Key of the result: the same for the same bytes, model and settings."""
        identity = self.fields()
        del identity["slide"], identity["slide_name"]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


class Priority(StrEnum):
    """Order among waiting jobs; within one priority the oldest goes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True)
class JobOptions:
    """Options of a job that do not affect its result."""

    priority: Priority = Priority.NORMAL
    #: Seconds that the scan may take; None: as long as the service allows.
    timeout_s: float | None = None
    #: URL to call when the job has ended.
    webhook: str | None = None
    #: DICOMweb server that gets the annotations once the job has succeeded.
    store: str | None = None
    #: The client's name for the case that the slide belongs to. Shown, never used as a path.
    case: str = ""
    #: Id of the job that this one scans a region for; empty: of none.
    rescan_of: str = ""


@dataclass(frozen=True)
class Fetch:
    """A slide that a worker fetches from a URL."""

    url: str
    bytes_done: int = 0
    #: None if the server does not state it.
    bytes_total: int | None = None
    #: True once the slide is stored.
    is_done: bool = False

    @property
    def identity(self) -> str:
        """Stands for the hash of the slide's bytes until they are fetched."""
        return hashlib.sha256(self.url.encode()).hexdigest()


@dataclass(frozen=True)
class JobProgress:
    """Progress of a scan."""

    tiles_done: int = 0
    tiles_total: int = 0
    mm2_done: float = 0.0
    mm2_total: float = 0.0


@dataclass(frozen=True)
class Job:
    """One scan asked of the service."""

    id: str
    request: ScanRequest
    #: The group that owns it: of the key that submitted it, or "local".
    client: str
    created_at: float
    options: JobOptions = field(default_factory=JobOptions)
    fetch: Fetch | None = None
    #: Of annotations, to `options.store`; None before the first attempt.
    delivery: Delivery | None = None
    state: JobState = JobState.QUEUED
    started_at: float | None = None
    finished_at: float | None = None
    #: How often a worker has started it.
    attempt: int = 0
    #: The worker that runs it.
    worker: str | None = None
    progress: JobProgress = field(default_factory=JobProgress)
    cancel_requested: bool = False
    #: True if an earlier job had the same result.
    cached: bool = False
    #: What its result counts; None of jobs of versions that did not store it.
    figures: Figures | None = None
    #: Why it failed: an RFC 9457 problem.
    problem: dict[str, object] | None = None
    idempotency_key: str | None = None
    #: Counts changes, so that a change based on an outdated reading is refused.
    version: int = 0

    @property
    def awaits_slide(self) -> bool:
        """True while the slide is still to be fetched."""
        return self.fetch is not None and not self.fetch.is_done

    @property
    def original_request(self) -> ScanRequest:
        """The request as submitted: for a slide at a URL, before its hash was known."""
        return replace(self.request, slide_sha256=self.fetch.identity) if self.fetch else self.request


def start(job: Job, *, worker: str, now: float) -> Job:
    """The job, taken by a worker. A job left RUNNING by a dead worker starts again."""
    _require(job, JobState.QUEUED, JobState.RUNNING)
    return replace(
        job,
        state=JobState.RUNNING,
        worker=worker,
        attempt=job.attempt + 1,
        started_at=job.started_at or now,
    )


def advance(job: Job, progress: JobProgress) -> Job:
    """The job with new progress."""
    _require(job, JobState.RUNNING)
    return replace(job, progress=progress)


def advance_fetch(job: Job, *, bytes_done: int, bytes_total: int | None) -> Job:
    """The job, with more of its slide fetched."""
    _require(job, JobState.QUEUED)
    assert job.fetch
    return replace(job, fetch=replace(job.fetch, bytes_done=bytes_done, bytes_total=bytes_total))


def finish_fetch(job: Job, request: ScanRequest) -> Job:
    """The job with its slide fetched: ready to be scanned."""
    _require(job, JobState.QUEUED)
    assert job.fetch
    return replace(job, request=request, fetch=replace(job.fetch, is_done=True))


def finish(job: Job, *, now: float, figures: Figures | None = None, cached: bool = False) -> Job:
    """The job, succeeded: its result is written."""
    _require(job, JobState.QUEUED, JobState.RUNNING)
    return replace(job, state=JobState.SUCCEEDED, finished_at=now, figures=figures, cached=cached, worker=None)


def fail(job: Job, *, problem: dict[str, object], now: float) -> Job:
    """The job, failed, with the reason."""
    _require(job, JobState.QUEUED, JobState.RUNNING)
    return replace(job, state=JobState.FAILED, problem=problem, finished_at=now, worker=None)


def request_cancel(job: Job, *, now: float) -> Job:
    """The job, cancelled if it was waiting, or marked so that its worker stops."""
    _require(job, JobState.QUEUED, JobState.RUNNING)
    if job.state is JobState.QUEUED:
        return cancel(job, now=now)
    return replace(job, cancel_requested=True)


def cancel(job: Job, *, now: float) -> Job:
    """The job, cancelled."""
    _require(job, JobState.QUEUED, JobState.RUNNING)
    return replace(job, state=JobState.CANCELLED, cancel_requested=True, finished_at=now, worker=None)


def requeue(job: Job) -> Job:
    """The job, queued again by a worker that stops."""
    _require(job, JobState.RUNNING)
    return replace(job, state=JobState.QUEUED, worker=None)


def _require(job: Job, *states: JobState) -> None:
    if job.state not in states:
        raise TransitionError(f"job {job.id} is {job.state}")
