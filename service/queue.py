"""Queue: DBOS hands each job to one worker, and hands the jobs of a dead worker to another.

The API process enqueues with `DBOSClient` and never runs a workflow; a worker process launches DBOS. A workflow is one
job: running it again after a crash is safe, because a scan goes on from its checkpoints and a finished job stays so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions

NAME = "mitoscan"
QUEUE = "mitoscan-scans"
WORKFLOW = "scan"
#: Fixed: DBOS gives work only to workers of the same version, and any of ours can run any job.
APPLICATION_VERSION = "1"
#: Ours is Settings.max_attempts, which ends in a readable problem; DBOS's own limit must not come first.
MAX_RECOVERY_ATTEMPTS = 1000


class Dispatch(Protocol):
    """Hands a new job to the queue, within the transaction that writes it."""

    def __call__(self, connection: sa.Connection, job_id: str) -> object:
        """Enqueue `job_id`."""


class QueueClient:
    """What the API process does with the queue."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine, serializer=DBOSPortableJSONSerializer(), application_name=NAME
        )

    def enqueue(self, connection: sa.Connection, job_id: str) -> None:
        """Enqueue a job within the transaction that writes it."""
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": job_id,
            "app_version": APPLICATION_VERSION,
        }
        self._client.enqueue_in_transaction(connection, options, job_id)

    def is_dropped(self, job_id: str) -> bool:
        """True if DBOS has ended the job's workflow or does not know it."""
        workflows = self._client.list_workflows(workflow_ids=[job_id])
        return not workflows or workflows[0].status not in {"ENQUEUED", "PENDING", "DELAYED"}

    def forget(self, job_id: str) -> None:
        """Drop the job's workflow, so that no worker takes it."""
        self._client.delete_workflow(job_id)

    def close(self) -> None:
        """Let go of the store."""
        self._client.destroy()


def launch_worker(engine: sa.Engine, *, worker_id: str, poll_s: float, run_job: Callable[[str], None]) -> None:
    """Make this process take jobs, one at a time, and call `run_job(job_id)` for each.

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
        run_job(job_id)

    DBOS.listen_queues([QUEUE])
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=poll_s)


def take_over(dead_worker_ids: list[str]) -> None:
    """Put the jobs of dead workers back into the queue; doing so twice does no harm."""
    DBOS._recover_pending_workflows(dead_worker_ids)


def migrate(url: str) -> None:
    """Make DBOS's tables, so that a client can enqueue before the first worker has started."""
    logging.getLogger("dbos").setLevel(logging.WARNING)
    DBOS.migrate(url)
