"""Worker: runs one scan at a time, sends heartbeats, and takes over from dead workers."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import structlog
from structlog.contextvars import bound_contextvars

from scanner.errors import OutputExistsError
from service.jobs import lifecycle
from service.jobs.backend import own_figures
from service.jobs.catalog import Catalog
from service.jobs.counters import Counters
from service.jobs.job_rows import UnreadableJobError
from service.jobs.lifecycle import Job, JobState, TransitionError
from service.jobs.presence import Presence, WorkerRow
from service.jobs.store import Store
from service.results.results import Figures, Results
from service.settings import Settings
from service.telemetry.tracing import tracer
from service.worker import resource_bounds
from service.worker.job_scan import ScanMonitor, ScanStoppedError, Stop, run_scan
from service.worker.reporter import Reporter
from service.worker.stop_times import GIVE_BACK_S
from service.worker.takeover import Takeover

#: A scan that does not react to a stop is given this long before the process ends itself.
STOP_GRACE = 20.0  # seconds
#: Heartbeats that a worker sends in the time after which it would be taken for dead.
HEARTBEATS = 7
#: Exit code of a worker that ended itself so that another can go on.
EXIT_RESTART = 75

_log = structlog.stdlib.get_logger(__name__)


class Worker:
    """Runs jobs. However it ends, each of its jobs has ended too, or another worker can take it over."""

    def __init__(self, settings: Settings, store: Store, worker_id: str) -> None:
        self.id = worker_id
        self.settings = settings
        self._store = store
        self._results = Results(settings.results)
        self._catalog = Catalog(settings.models, settings.default_model)
        self._started_at = time.time()
        self._stopping = threading.Event()
        #: Set while no job is in this worker's hands: from before its start is stored until its end is.
        self._holds_none = threading.Event()
        self._holds_none.set()
        self._one_at_a_time = threading.Lock()
        self._monitor: ScanMonitor | None = None
        self._presence = Presence(store.engine)
        self.reporter = Reporter(Counters(store.engine), worker_id)
        self._takeover = Takeover(settings, worker_id, store=store, presence=self._presence, reporter=self.reporter)

    def run_job(self, job_id: str) -> None:
        """Scan for one job, and store how it ended."""
        # DBOS counts a started workflow a moment late: with short polls it sometimes hands out two jobs at once.
        with self._one_at_a_time:
            self._holds_none.clear()
            if self._stopping.is_set():
                self._leave_open()
            with (
                bound_contextvars(job=job_id),
                tracer.start_as_current_span("scan", attributes={"mitoscan.job": job_id}),
            ):
                try:
                    self._run_job(job_id)
                finally:
                    self._holds_none.set()

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
        figures = own_figures(self._store, self._results, job)
        if figures is not None:
            self._end(job, partial(lifecycle.finish, now=time.time(), figures=figures, cached=True))
            return
        self._scan(job)

    def send_heartbeats(self) -> None:
        """Send heartbeats and take over from dead workers, until this one stops."""
        while not self._stopping.wait(self.settings.dead_after_s / HEARTBEATS):
            try:
                self.send_heartbeat()
                self._takeover.check_workers()
                self._takeover.note_store_answered()
                self._end_stuck_scan()
            except Exception:  # The database may be away for a while.
                _log.exception("heartbeat failed")

    def send_heartbeat(self, *, is_last: bool = False) -> None:
        """Send one heartbeat, or, with `is_last`, say that this worker stops."""
        row = WorkerRow(self.id, socket.gethostname(), self.settings.device, self._started_at)
        self._presence.record_heartbeat(row, is_last=is_last)
        self.reporter.report_memory()

    def stop(self) -> None:
        """Stop the running scan at its next tile and give its job back."""
        self._stopping.set()
        if self._monitor:
            self._monitor.stop(Stop.SHUTDOWN)
        self._holds_none.wait(GIVE_BACK_S)
        self.send_heartbeat(is_last=True)

    def _start(self, job: Job) -> Job:
        """The job, started; or failed, if its workers have crashed too often."""
        if job.state is JobState.RUNNING and job.attempt >= self.settings.max_attempts:
            return lifecycle.fail(job, problem=resource_bounds.crash_problem(job), now=time.time())
        return lifecycle.start(job, worker=self.id, now=time.time())

    def _scan(self, job: Job) -> None:
        monitor = self._monitor = ScanMonitor(self._store, job, timeout_s=resource_bounds.timeout_s(job, self.settings))
        if self._stopping.is_set():  # `stop` came before there was a scan to stop.
            monitor.stop(Stop.SHUTDOWN)
        try:
            figures = self._scan_into_folder(job, monitor)
            self._end(job, partial(lifecycle.finish, now=time.time(), figures=figures))
        except ScanStoppedError as stopped:
            self._end_stopped(job, stopped)
        except Exception as error:  # Whatever the error, the job must end with a problem.
            self._end(
                job,
                partial(lifecycle.fail, problem=resource_bounds.problem_of(error, job, self.settings), now=time.time()),
            )
            if isinstance(error, MemoryError) and not resource_bounds.has_room(self.settings):
                _log.error("memory is not released, exiting", job=job.id)
                os._exit(EXIT_RESTART)
        finally:
            self._monitor = None

    def _scan_into_folder(self, job: Job, monitor: ScanMonitor) -> Figures:
        work = self._results.work_folder(job.id)
        try:
            scanned = run_scan(job, work, settings=self.settings, catalog=self._catalog, monitor=monitor)
        except OutputExistsError:
            # A worker that counted as dead still holds the folder. It will notice that it has lost the job.
            work = self._results.work_folder(f"{job.id}.{job.attempt}")
            scanned = run_scan(job, work, settings=self.settings, catalog=self._catalog, monitor=monitor)
        self._results.publish(work, job.request.result_key, scanned.answer)
        self.reporter.scanned(scanned.answer.area_mm2["scanned"], scanned.stage_seconds)
        return scanned.answer.figures

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
            self._leave_open()
        else:
            # Another worker has the job: a normal end of this workflow would end the other's too.
            os._exit(EXIT_RESTART)

    def _leave_open(self) -> NoReturn:
        """Never return: the process is about to exit, and the workflow must stay open for another worker."""
        self._holds_none.set()
        while True:
            threading.Event().wait()

    def _end(self, job: Job, transition: Callable[[Job], Job]) -> None:
        """Store how the job ended, unless another worker has it by now."""
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

    def _end_stuck_scan(self) -> None:
        """End this process if a hanging decoder or driver keeps the scan from stopping."""
        monitor = self._monitor
        if monitor is None or not monitor.is_overdue(STOP_GRACE):
            return
        _log.error("the scan does not stop, exiting", job=monitor.job.id)
        if monitor.why is Stop.CANCEL:
            self._end(monitor.job, partial(lifecycle.cancel, now=time.time()))
        else:
            problem = resource_bounds.timeout_problem(monitor.job, self.settings)
            self._end(monitor.job, partial(lifecycle.fail, problem=problem, now=time.time()))
        os._exit(EXIT_RESTART)
