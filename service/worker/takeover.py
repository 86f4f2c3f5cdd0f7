"""Takeover: a live worker requeues the jobs of dead ones."""

from __future__ import annotations

import time
from functools import partial

import structlog

from service.jobs import dbos_queue, lifecycle
from service.jobs.job_rows import UnreadableJobError
from service.jobs.lifecycle import Job, JobState
from service.jobs.presence import Presence
from service.jobs.store import Store
from service.settings import Settings
from service.worker import resource_bounds
from service.worker.reporter import Reporter

_log = structlog.stdlib.get_logger(__name__)


class Takeover:
    """Takes over from workers without heartbeats, and sets the poll interval of all workers."""

    def __init__(
        self, settings: Settings, worker_id: str, *, store: Store, presence: Presence, reporter: Reporter
    ) -> None:
        self._settings, self._worker_id = settings, worker_id
        self._store, self._presence, self._reporter = store, presence, reporter
        self._store_answered_at = time.monotonic()
        self._waits_until = 0.0

    def check_workers(self) -> None:
        """Take over from dead workers, if there are any, and adapt the poll interval."""
        rows, running = self._presence.list_workers(), self._store.list_jobs(state=JobState.RUNNING, limit=1000)
        alive = {row.id for row in rows if row.silent_s <= self._settings.dead_after_s} | {self._worker_id}
        dead = ({row.id for row in rows} | {job.worker for job in running if job.worker}) - alive
        if dead and not self._was_store_away():
            self._take_over(dead, running)
        now, newest_created_at = time.time(), self._store.newest_created_at()
        interval = dbos_queue.choose_interval(
            self._settings,
            asked_s=None if newest_created_at is None else now - newest_created_at,
            free_workers=len(alive - {job.worker for job in running}),
            youngest_s=min((now - (job.started_at or now) for job in running), default=None),
        )
        dbos_queue.set_interval(interval)

    def _was_store_away(self) -> bool:
        """True for a while after the database was away: no worker could send heartbeats, so all seem dead."""
        now, patience = time.monotonic(), self._settings.dead_after_s
        if now - self._store_answered_at > patience:
            self._waits_until = now + patience
        return now < self._waits_until

    def note_store_answered(self) -> None:
        """Record that the database has just answered."""
        self._store_answered_at = time.monotonic()

    def _take_over(self, dead: set[str], running: list[Job]) -> None:
        _log.warning("taking over from dead workers", dead=sorted(dead))
        dbos_queue.take_over(sorted(dead))
        for job in running:
            if job.worker in dead:
                self._requeue(job)
        for worker_id in dead:
            self._presence.remove_worker(worker_id, silent_s=self._settings.dead_after_s)
            self._reporter.forget(worker_id)

    def _requeue(self, left: Job) -> None:
        """Requeue or end the job of a dead worker in the database."""
        try:
            self._store.update(left.id, partial(requeue_or_end, left=left, settings=self._settings))
        except (LookupError, UnreadableJobError) as error:  # Removed, or changed by another version, meanwhile.
            _log.info("job not requeued", job=left.id, reason=str(error))


def requeue_or_end(job: Job, *, left: Job, settings: Settings) -> Job:
    """The job `left` by a dead worker, queued again or ended; unchanged if another worker has it."""
    if (job.state, job.worker, job.attempt) != (JobState.RUNNING, left.worker, left.attempt):
        return job
    if job.cancel_requested:
        return lifecycle.cancel(job, now=time.time())
    if job.attempt >= settings.max_attempts:
        return lifecycle.fail(job, problem=resource_bounds.crash_problem(job), now=time.time())
    return lifecycle.requeue(job)
