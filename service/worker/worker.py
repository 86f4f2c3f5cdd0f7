"""Worker: a process that runs one scan at a time, says that it lives, and takes over from workers that do not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import structlog
from structlog.contextvars import bound_contextvars

from scanner.errors import OutputExistsError
from service.jobs import lifecycle
from service.jobs.catalog import Catalog
from service.jobs.counters import Measures
from service.jobs.job_rows import UnreadableJobError
from service.jobs.lifecycle import Job, JobState, TransitionError
from service.jobs.presence import Presence, WorkerRow
from service.jobs.store import Store
from service.results.results import Results
from service.settings import Settings
from service.telemetry.tracing import tracer
from service.worker import resource_bounds
from service.worker.job_scan import ScanStoppedError, Stop, Watch, run_scan
from service.worker.reporter import Reporter
from service.worker.stop_times import GIVE_BACK_S
from service.worker.takeover import Takeover

#: A job whose scan does not notice that it should stop is given this long before the process ends itself.
STOP_GRACE = 20.0  # seconds
#: Exit code of a worker that ended itself so that another can go on.
EXIT_RESTART = 75

_log = structlog.stdlib.get_logger(__name__)


class Worker:
    """Runs jobs. Every way out leaves each job either finished or to be taken over."""

    def __init__(self, settings: Settings, store: Store, worker_id: str) -> None:
        self.id = worker_id
        self.settings = settings
        self._store = store
        self._results = Results(settings.results)
        self._catalog = Catalog(settings.models, settings.default_model)
        self._started_at = time.time()
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._watch: Watch | None = None
        self._presence = Presence(store.engine)
        self.reporter = Reporter(Measures(store.engine), worker_id)
        self._takeover = Takeover(settings, worker_id, store=store, presence=self._presence, reporter=self.reporter)

    def run_job(self, job_id: str) -> None:
        """Scan for one job, and note how it ended."""
        # The queue counts what it has begun a moment later: looking often, it hands out two jobs at once now and then.
        with self._one_at_a_time:
            if self._stopping.is_set():
                _wait_for_the_end()
            with (
                bound_contextvars(job=job_id),
                tracer.start_as_current_span("scan", attributes={"mitoscan.job": job_id}),
            ):
                self._run_job(job_id)

    def _run_job(self, job_id: str) -> None:
        try:
            job = self._store.update(job_id, self._start)
        except (TransitionError, LookupError, UnreadableJobError) as error:
            _log.info("job not started", reason=str(error))
            return
        if job.state is JobState.FAILED:
            self.reporter.ended(job)
            return
        _log.info("job started", attempt=job.attempt, slide=job.request.slide_sha256, model=job.request.model)
        if self._results.has(job.request.result_key):
            self._end(job, partial(lifecycle.finish, now=time.time(), cached=True))
            return
        self._scan(job)

    def beat_forever(self) -> None:
        """Say that this worker lives, and look after those that do not, until it stops."""
        while not self._stopping.wait(self.settings.heartbeat_s):
            try:
                self.beat()
                self._takeover.look_around()
                self._takeover.note_heard()
                self._look_after_stuck_scan()
            except Exception:  # The store may be away for a while; a worker outlives that.
                _log.exception("heartbeat failed")

    def beat(self, *, is_last: bool = False) -> None:
        """Say that this worker lives, or that it ends."""
        row = WorkerRow(self.id, socket.gethostname(), self.settings.device, self._started_at)
        self._presence.beat(row, is_last=is_last)
        self.reporter.beat()

    def stop(self) -> None:
        """Stop the running scan at its next tile and give its job back."""
        self._stopping.set()
        if self._watch:
            self._watch.stop(Stop.SHUTDOWN)
            self._watch.ended.wait(GIVE_BACK_S)
        self.beat(is_last=True)

    def _start(self, job: Job) -> Job:
        """The job, started; or failed, if workers have died of it too often."""
        if job.state is JobState.RUNNING and job.attempt >= self.settings.max_attempts:
            return lifecycle.fail(job, problem=resource_bounds.deadly_problem(job), now=time.time())
        return lifecycle.start(job, worker=self.id, now=time.time())

    def _scan(self, job: Job) -> None:
        watch = self._watch = Watch(self._store, job, timeout_s=resource_bounds.timeout_s(job, self.settings))
        try:
            self._scan_into_folder(job, watch)
            self._end(job, partial(lifecycle.finish, now=time.time()))
        except ScanStoppedError as stopped:
            self._end_stopped(job, stopped)
        except Exception as error:  # Whatever it is, the job must end and the client be told.
            self._end(
                job,
                partial(lifecycle.fail, problem=resource_bounds.problem_of(error, job, self.settings), now=time.time()),
            )
            if isinstance(error, MemoryError) and not resource_bounds.has_room(self.settings):
                _log.error("memory is not released, exiting", job=job.id)
                os._exit(EXIT_RESTART)
        finally:
            self._watch = None
            watch.ended.set()

    def _scan_into_folder(self, job: Job, watch: Watch) -> None:
        work = self._results.work_folder(job.id)
        try:
            scanned = run_scan(job, work, settings=self.settings, catalog=self._catalog, watch=watch)
        except OutputExistsError:
            # A worker that was taken for dead still holds the folder. It will find that the job is ours.
            work = self._results.work_folder(f"{job.id}.{job.attempt}")
            scanned = run_scan(job, work, settings=self.settings, catalog=self._catalog, watch=watch)
        self._results.publish(work, job.request.result_key, scanned.answer)
        self.reporter.scanned(scanned.answer.area_mm2["scanned"], scanned.stage_seconds)

    def _end_stopped(self, job: Job, stopped: ScanStoppedError) -> None:
        if stopped.why is Stop.CANCEL:
            self._end(job, partial(lifecycle.cancel, now=time.time()))
        elif stopped.why is Stop.TIMEOUT:
            self._end(
                job,
                partial(lifecycle.fail, problem=resource_bounds.timeout_problem(job, self.settings), now=time.time()),
            )
        elif stopped.why is Stop.SHUTDOWN:
            self._end(job, lifecycle.requeue)
            assert self._watch
            self._watch.ended.set()
            _wait_for_the_end()
        else:
            # Another worker has the job: to end this workflow normally would end the other's too.
            os._exit(EXIT_RESTART)

    def _end(self, job: Job, transition: Callable[[Job], Job]) -> None:
        """Note how the job ended, unless another worker has it by now."""
        is_ours = False

        def if_still_ours(now: Job) -> Job:
            nonlocal is_ours
            is_ours = now.worker == self.id and now.attempt == job.attempt
            return transition(now) if is_ours else now

        try:
            ended = self._store.update(job.id, if_still_ours)
        except (TransitionError, LookupError) as error:
            _log.warning("the end of the job could not be stored", reason=str(error))
            return
        if not is_ours:
            _log.warning("job belongs to another worker", worker=ended.worker)
            return
        problem = ended.problem or {}
        _log.info("job ended", state=ended.state, reason=problem.get("type"), detail=problem.get("detail"))
        if ended.state.is_final:
            self.reporter.ended(ended)
            self._results.discard_work(job.id)

    def _look_after_stuck_scan(self) -> None:
        """End this process if a decoder or driver hangs and the scan cannot be stopped any other way."""
        watch = self._watch
        if watch is None or not watch.is_overdue(STOP_GRACE):
            return
        _log.error("the scan does not stop, exiting", job=watch.job.id)
        if watch.why is Stop.CANCEL:
            self._end(watch.job, partial(lifecycle.cancel, now=time.time()))
        else:
            problem = resource_bounds.timeout_problem(watch.job, self.settings)
            self._end(watch.job, partial(lifecycle.fail, problem=problem, now=time.time()))
        os._exit(EXIT_RESTART)


def _wait_for_the_end() -> None:
    """Never return: the process is about to end, and the workflow must stay open for another worker."""
    threading.Event().wait()
