"""Queues: DBOS hands each job to one worker, and hands the jobs of a dead worker to another.

The API process enqueues with `DBOSClient` and never runs a workflow; a worker process launches DBOS. A workflow is one
job: running it again after a crash is safe, because a scan continues from its checkpoints and a finished job stays so.
There are two more queues: fetches of slides, each of which enqueues its scan at its end, and background tasks (calling
webhooks, storing annotations, and cleaning by a schedule), so that none of them waits for scans.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions

from service.jobs.lifecycle import Job, JobState, Priority

NAME = "mitoscan"
QUEUE = "mitoscan-scans"
FETCHES = "mitoscan-fetches"
BACKGROUND = "mitoscan-errands"
WORKFLOW = "scan"
FETCH_WORKFLOW = "fetch"
#: Workflows and their steps. DBOS stores these names: a workflow of an older version must find its step.
WEBHOOK = ("tell-webhook", "launch_worker.<locals>.tell_webhook")
STORE = ("store-annotations", "store")
CLEANING_WORKFLOW = "clean"
#: DBOS takes the smallest first.
PRIORITIES = {Priority.HIGH: 1, Priority.NORMAL: 10, Priority.LOW: 100}
#: Constant: DBOS gives work only to workers of the same version, and workers of any version of ours can run any job.
APPLICATION_VERSION = "1"
#: The limit that counts is Settings.max_attempts, which ends in a problem; that of DBOS must not come first.
MAX_RECOVERY_ATTEMPTS = 1000
#: Background tasks that a worker runs at a time, and how often it polls for them.
BACKGROUND_AT_ONCE = 4
BACKGROUND_POLL_INTERVAL = 1.0  # seconds
#: The same for fetches: two at a time, so that a small slide need not wait for a large one.
FETCHES_AT_ONCE = 2
FETCHES_POLL_INTERVAL = 0.5  # seconds
#: Ended workflows that are deleted in one transaction.
FORGOTTEN_AT_ONCE = 500
#: Each further pause before a webhook is called again is this many times as long.
WEBHOOK_BACKOFF = 3.0
#: Seconds between a worker's polls for a job, and after a while without a new job, or while no worker is free.
POLL_S, IDLE_POLL_S = 0.01, 0.25
#: Without a new job for this long, workers poll less often.
QUIET_AFTER = 60.0  # seconds
#: A scan that has run for this long is not expected to end soon.
LONG_SCAN = 10.0  # seconds


@dataclass(frozen=True)
class WorkflowHandlers:
    """The functions of a worker that workflows call."""

    #: Scan for the job of this id.
    run_job: Callable[[str], None]
    #: Fetch the slide of the job of this id, and enqueue its scan.
    fetch_slide: Callable[[str], None]
    #: Call the webhook of the job of this id, or store its annotations; an exception means that it is tried again.
    call_webhook: Callable[[str], None]
    store_annotations: Callable[[str], None]
    #: Remove expired jobs and files.
    clean: Callable[[], None]


@dataclass(frozen=True)
class QueueTiming:
    """Intervals and attempts of a worker's queues, in seconds."""

    webhook_attempts: int
    webhook_pause_s: float
    #: When to clean, as a cron expression (UTC).
    cleaning: str


class QueueClient:
    """Enqueues workflows; for any process."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=NAME,
            retry_connection_errors=False,  # A request must not wait forever for the database.
        )

    def enqueue(self, connection: sa.Connection, job: Job) -> None:
        """Enqueue a job within the transaction that writes it."""
        options = _options(WORKFLOW, QUEUE, job.id)
        options["priority"] = PRIORITIES[job.options.priority]
        self._client.enqueue_in_transaction(connection, options, job.id)

    def enqueue_fetch(self, connection: sa.Connection, job: Job) -> None:
        """Enqueue the fetch of a job's slide within the transaction that writes the job."""
        options = _options(FETCH_WORKFLOW, FETCHES, f"fetch-{job.id}")
        options["priority"] = PRIORITIES[job.options.priority]
        self._client.enqueue_in_transaction(connection, options, job.id)

    def announce_end(self, connection: sa.Connection, job: Job) -> None:
        """Enqueue the deliveries of a job that has ended, if it has any, within the transaction that ends it."""
        if job.options.webhook:
            options = _options(WEBHOOK[0], BACKGROUND, f"webhook-{job.id}")
            self._client.enqueue_in_transaction(connection, options, job.id)
        if job.options.store and job.state is JobState.SUCCEEDED:
            options = _options(STORE[0], BACKGROUND, f"store-{job.id}")
            self._client.enqueue_in_transaction(connection, options, job.id)

    def forget_ended(self, *, before: float) -> None:
        """Delete workflows that ended before that time; otherwise their table would grow forever."""
        until = datetime.fromtimestamp(before, UTC).isoformat()
        while True:
            ended = self._client.list_workflows(
                status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
                queue_name=[QUEUE, FETCHES, BACKGROUND],
                completed_before=until,
                limit=FORGOTTEN_AT_ONCE,
                load_input=False,
                load_output=False,
            )
            if not ended:
                return
            self._client.delete_workflows([workflow.workflow_id for workflow in ended])

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()


def launch_worker(engine: sa.Engine, worker_id: str, *, handlers: WorkflowHandlers, timing: QueueTiming) -> None:
    """Make this process run jobs, one at a time, and background tasks beside them.

    Jobs that an earlier worker of this id was running are resumed at once.
    """
    config: DBOSConfig = {
        "name": NAME,
        "system_database_engine": engine,
        "application_version": APPLICATION_VERSION,
        "executor_id": worker_id,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "WARNING",
        "enable_otlp": False,
    }
    DBOS(config=config)

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
    def scan_workflow(job_id: str) -> None:
        handlers.run_job(job_id)

    @DBOS.workflow(name=FETCH_WORKFLOW, max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
    def fetch_workflow(job_id: str) -> None:
        handlers.fetch_slide(job_id)

    _register_delivery(WEBHOOK, handlers.call_webhook, timing)
    _register_delivery(STORE, handlers.store_annotations, timing)

    @DBOS.workflow(name=CLEANING_WORKFLOW)
    def cleaning_workflow(_scheduled_at: datetime, _context: Any) -> None:
        handlers.clean()

    DBOS.listen_queues([QUEUE, FETCHES, BACKGROUND])
    DBOS.launch()
    _register_queues(timing, cleaning_workflow)


def _register_delivery(names: tuple[str, str], deliver: Callable[[str], None], timing: QueueTiming) -> None:
    """Register what is sent to others when a job has ended: a workflow with one step, repeated until it succeeds."""
    workflow, step = names

    @DBOS.step(
        name=step,
        retries_allowed=True,
        max_attempts=timing.webhook_attempts,
        interval_seconds=timing.webhook_pause_s,
        backoff_rate=WEBHOOK_BACKOFF,
    )
    def deliver_once(job_id: str) -> None:
        deliver(job_id)

    @DBOS.workflow(name=workflow, max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
    def delivery(job_id: str) -> None:
        deliver_once(job_id)


def _register_queues(timing: QueueTiming, cleaning: Callable[[datetime, Any], None]) -> None:
    """Register the queues, and the schedule of the cleaning."""
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_S)
    DBOS.register_queue(FETCHES, worker_concurrency=FETCHES_AT_ONCE, polling_interval_sec=FETCHES_POLL_INTERVAL)
    DBOS.register_queue(
        BACKGROUND, worker_concurrency=BACKGROUND_AT_ONCE, polling_interval_sec=BACKGROUND_POLL_INTERVAL
    )
    DBOS.apply_schedules(
        [
            {
                "schedule_name": CLEANING_WORKFLOW,
                "workflow_fn": cleaning,
                "schedule": timing.cleaning,
                "queue_name": BACKGROUND,
            }
        ]
    )


def choose_interval(*, asked_s: float | None, free_workers: int, youngest_s: float | None) -> float:
    """Seconds between two polls of the workers: each poll costs a transaction.

    Parameters
    ----------
    asked_s : float or None
        Seconds since the newest job was submitted.
    free_workers : int
        Live workers that run no job.
    youngest_s : float or None
        Seconds that the newest running scan has run.
    """
    is_quiet = asked_s is None or asked_s > QUIET_AFTER
    # If all running scans are long ones, no worker will be free soon.
    is_full = free_workers <= 0 and (youngest_s is None or youngest_s > LONG_SCAN)
    return IDLE_POLL_S if is_quiet or is_full else POLL_S


def set_interval(seconds: float) -> None:
    """Set the poll interval of all workers, from their next poll on."""
    queue = DBOS.retrieve_queue(QUEUE)
    if queue is not None and queue.polling_interval_sec != seconds:
        queue.set_polling_interval_sec(seconds)


def take_over(dead_worker_ids: list[str]) -> None:
    """Put the jobs of dead workers back into the queue; may be repeated."""
    DBOS._recover_pending_workflows(dead_worker_ids)


def migrate(url: str) -> None:
    """Create the tables of DBOS, so that a client can enqueue before the first worker has started."""
    logging.getLogger("dbos").setLevel(logging.WARNING)
    DBOS.migrate(url)


def _options(workflow: str, queue: str, workflow_id: str) -> EnqueueOptions:
    return {
        "workflow_name": workflow,
        "queue_name": queue,
        "workflow_id": workflow_id,
        "app_version": APPLICATION_VERSION,
    }
