"""Queues: DBOS hands each job to one worker, and hands the jobs of a dead worker to another.

The API process enqueues with `DBOSClient` and never runs a workflow; a worker process launches DBOS. A workflow is one
job: running it again after a crash is safe, because a scan goes on from its checkpoints and a finished job stays so.
Beside the scans go fetches, which end by enqueueing the scan of what they have fetched, and errands, which keep neither
waiting: telling webhooks, and cleaning by a schedule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions

from service.jobs.lifecycle import Job, Priority
from service.settings import Settings

NAME = "mitoscan"
QUEUE = "mitoscan-scans"
FETCHES = "mitoscan-fetches"
ERRANDS = "mitoscan-errands"
WORKFLOW = "scan"
FETCH_WORKFLOW = "fetch"
WEBHOOK_WORKFLOW = "tell-webhook"
CLEANING_WORKFLOW = "clean"
#: DBOS takes the smallest first.
PRIORITIES = {Priority.HIGH: 1, Priority.NORMAL: 10, Priority.LOW: 100}
#: Fixed: DBOS gives work only to workers of the same version, and any of ours can run any job.
APPLICATION_VERSION = "1"
#: Ours is Settings.max_attempts, which ends in a readable problem; DBOS's own limit must not come first.
MAX_RECOVERY_ATTEMPTS = 1000
#: Errands of one worker at a time, and how often it looks for them.
ERRANDS_AT_ONCE = 4
ERRANDS_POLL_INTERVAL = 1.0  # seconds
#: The same of fetches: two, so that a small slide need not wait for a large one.
FETCHES_AT_ONCE = 2
FETCHES_POLL_INTERVAL = 0.5  # seconds
#: Ended workflows that are dropped in one transaction.
FORGOTTEN_AT_ONCE = 500
#: A webhook that fails is told again after the first pause, then after ever longer ones.
WEBHOOK_BACKOFF = 3.0
#: Without a new job for this long, workers look less often.
QUIET_AFTER = 60.0  # seconds
#: A scan that has run for this long is not about to end.
LONG_SCAN = 10.0  # seconds


@dataclass(frozen=True)
class Duties:
    """What a worker does, by the workflow that asks for it."""

    #: Scan for the job of this id.
    run_job: Callable[[str], None]
    #: Fetch the slide of the job of this id, and enqueue its scan.
    fetch_slide: Callable[[str], None]
    #: Tell the webhook of the job of this id; an exception means that it shall be tried again.
    tell_webhook: Callable[[str], None]
    #: Remove what is past its time.
    clean: Callable[[], None]


@dataclass(frozen=True)
class Pace:
    """How often and how long, in seconds."""

    poll_s: float
    webhook_attempts: int
    webhook_pause_s: float
    #: When to clean, as a cron expression (UTC).
    cleaning: str


class QueueClient:
    """What every process does with the queues."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=NAME,
            retry_connection_errors=False,  # A request must not wait without end for a store that is away.
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
        """Have the webhook of a job told, if it has one, within the transaction that ends the job."""
        if job.options.webhook:
            options = _options(WEBHOOK_WORKFLOW, ERRANDS, f"webhook-{job.id}")
            self._client.enqueue_in_transaction(connection, options, job.id)

    def forget(self, job_id: str) -> None:
        """Drop the job's workflow, so that no worker takes it."""
        self._client.delete_workflow(job_id)

    def forget_ended(self, *, before: float) -> None:
        """Drop what has ended before that time: it is of no further use, and would grow without end."""
        until = datetime.fromtimestamp(before, UTC).isoformat()
        while True:
            ended = self._client.list_workflows(
                status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
                queue_name=[QUEUE, FETCHES, ERRANDS],
                completed_before=until,
                limit=FORGOTTEN_AT_ONCE,
                load_input=False,
                load_output=False,
            )
            if not ended:
                return
            self._client.delete_workflows([workflow.workflow_id for workflow in ended])

    def close(self) -> None:
        """Let go of the store."""
        self._client.destroy()


def launch_worker(engine: sa.Engine, worker_id: str, *, duties: Duties, pace: Pace) -> None:
    """Make this process take jobs, one at a time, and errands beside them.

    Jobs that a worker of this id left behind are taken up again at once.
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
        duties.run_job(job_id)

    @DBOS.workflow(name=FETCH_WORKFLOW, max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
    def fetch_workflow(job_id: str) -> None:
        duties.fetch_slide(job_id)

    @DBOS.step(
        retries_allowed=True,
        max_attempts=pace.webhook_attempts,
        interval_seconds=pace.webhook_pause_s,
        backoff_rate=WEBHOOK_BACKOFF,
    )
    def tell_webhook(job_id: str) -> None:
        duties.tell_webhook(job_id)

    @DBOS.workflow(name=WEBHOOK_WORKFLOW, max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
    def webhook_workflow(job_id: str) -> None:
        tell_webhook(job_id)

    @DBOS.workflow(name=CLEANING_WORKFLOW)
    def cleaning_workflow(_scheduled_at: datetime, _context: Any) -> None:
        duties.clean()

    DBOS.listen_queues([QUEUE, FETCHES, ERRANDS])
    DBOS.launch()
    _register_queues(pace, cleaning_workflow)


def _register_queues(pace: Pace, cleaning: Callable[[datetime, Any], None]) -> None:
    """The queues, and the cleaning that its schedule puts into the last."""
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=pace.poll_s)
    DBOS.register_queue(FETCHES, worker_concurrency=FETCHES_AT_ONCE, polling_interval_sec=FETCHES_POLL_INTERVAL)
    DBOS.register_queue(ERRANDS, worker_concurrency=ERRANDS_AT_ONCE, polling_interval_sec=ERRANDS_POLL_INTERVAL)
    DBOS.apply_schedules(
        [
            {
                "schedule_name": CLEANING_WORKFLOW,
                "workflow_fn": cleaning,
                "schedule": pace.cleaning,
                "queue_name": ERRANDS,
            }
        ]
    )


def choose_interval(settings: Settings, *, asked_s: float | None, free_workers: int, youngest_s: float | None) -> float:
    """How often the workers shall look for a job: looking costs a transaction each time.

    Parameters
    ----------
    settings : Settings
    asked_s : float or None
        Seconds since the last job was asked for.
    free_workers : int
        Workers that live and run no job.
    youngest_s : float or None
        How long the scan that began last has run.
    """
    is_quiet = asked_s is None or asked_s > QUIET_AFTER
    # Where all scans are long ones no worker is about to be free.
    is_full = free_workers <= 0 and (youngest_s is None or youngest_s > LONG_SCAN)
    return settings.queue_idle_poll_s if is_quiet or is_full else settings.queue_poll_s


def set_interval(seconds: float) -> None:
    """Make all workers look for a job that often, from their next look on."""
    queue = DBOS.retrieve_queue(QUEUE)
    if queue is not None and queue.polling_interval_sec != seconds:
        queue.set_polling_interval_sec(seconds)


def take_over(dead_worker_ids: list[str]) -> None:
    """Put the jobs of dead workers back into the queue; doing so twice does no harm."""
    DBOS._recover_pending_workflows(dead_worker_ids)


def migrate(url: str) -> None:
    """Make DBOS's tables, so that a client can enqueue before the first worker has started."""
    logging.getLogger("dbos").setLevel(logging.WARNING)
    DBOS.migrate(url)


def _options(workflow: str, queue: str, workflow_id: str) -> EnqueueOptions:
    return {
        "workflow_name": workflow,
        "queue_name": queue,
        "workflow_id": workflow_id,
        "app_version": APPLICATION_VERSION,
    }
