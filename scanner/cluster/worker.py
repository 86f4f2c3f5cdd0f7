"""What runs on a host of a cluster: it has one slide open at a time, and does one task of it after the other."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scanner.batch.batch import BatchOrder, SurveyedSlide, scan_job, survey_job, survey_or_skip
from scanner.batch.finished import FinishedScan, skip_job
from scanner.batch.last_defence import or_failure
from scanner.batch.outcomes import Outcome
from scanner.batch.worklist import Job
from scanner.cluster.bands import prepare_bands, score_band
from scanner.cluster.dispatch import Step, Task
from scanner.devices.device import choose_device
from scanner.devices.device_queue import StageSeconds
from scanner.errors import SettingsError
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import Progress
from scanner.maps.unfinished import wait_for_release
from scanner.settings import ScanSettings
from scanner.stage_clock import Spent

#: Time for which a lost host may still hold the lock of a slide's folder, s.
RELEASE_SECONDS = 60.0
#: The stage of what all hosts did on a slide, before one of them ends its scan.
HOSTS = "hosts"
#: Time between two progress reports, s.
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Assignment:
    """A task with what its worker must know."""

    task: Task
    job: Job
    #: Folder of the batch.
    out: Path
    #: A host that worked on this slide is gone.
    was_lost: bool
    #: Seconds since the slide was first assigned, and what its bands took on all hosts; of FINISH after bands.
    seconds: float = 0.0
    spent: StageSeconds | None = None


#: Of FINISH, of a slide that was scanned before, and of any failure: how the slide ended. Of SURVEY: the work in each
#: band. Of SCORE: the seconds that it took.
Answer = Outcome | list[Progress] | StageSeconds


class ClusterWorker:
    """Runs on one GPU, or on one share of the processors, of one host."""

    def __init__(self, order: BatchOrder) -> None:
        self._order = order
        self._open: tuple[Job, PreparedSlide] | None = None
        self._latest: tuple[Task, Progress] | None = None

    def refusal(self) -> str:
        """Why this host cannot scan with these settings; empty, once the model is loaded, if it can."""
        try:
            settings = ScanSettings(**self._order.keywords)
            choose_device(settings.device, precision=settings.precision)
        except SettingsError as error:
            return f"{socket.gethostname()}: {error}"
        return ""

    def work(self, assignment: Assignment) -> Answer:
        """Do a task; whatever goes wrong in it is an outcome."""
        task, job = assignment.task, assignment.job
        if assignment.was_lost:
            wait_for_release(job.folder, band=task.band, seconds=RELEASE_SECONDS)
        steps = {Step.SURVEY: self._survey, Step.SCORE: self._score, Step.FINISH: self._finish}
        answer = or_failure(job, assignment.out, lambda: steps[task.step](assignment))
        if isinstance(answer, Outcome):
            self._close()
        return answer

    def progress(self) -> tuple[Task, Progress] | None:
        """The progress of the present task, after a while; None before its first tile. Runs beside `work`."""
        time.sleep(PROGRESS_SECONDS)
        return self._latest

    def _survey(self, assignment: Assignment) -> Answer:
        surveyed = survey_or_skip(assignment.job, self._order)
        if isinstance(surveyed, FinishedScan):
            return skip_job(assignment.job, assignment.out, surveyed)
        return prepare_bands(self._prepare(assignment.job, surveyed), assignment.job.folder)

    def _score(self, assignment: Assignment) -> Answer:
        job, band = assignment.job, assignment.task.band
        assert band is not None
        return score_band(self._prepared(job), job.folder, band, partial(self._note, assignment.task))

    def _finish(self, assignment: Assignment) -> Answer:
        prepared = self._prepared(assignment.job)
        if assignment.spent is not None:
            prepared = replace(prepared, spent={HOSTS: Spent(wall=assignment.seconds)})
        on_progress, seconds = partial(self._note, assignment.task), assignment.spent
        return scan_job(assignment.job, assignment.out, prepared, on_progress=on_progress, seconds=seconds)

    def _note(self, task: Task, progress: Progress) -> None:
        if not progress.is_after_network:  # That is not progress of a band.
            self._latest = task, progress

    def _prepared(self, job: Job) -> PreparedSlide:
        """The slide, which another worker has surveyed, or this one."""
        if self._open is not None and self._open[0] == job:
            return self._open[1]
        return self._prepare(job, survey_job(job, self._order))

    def _prepare(self, job: Job, surveyed: SurveyedSlide) -> PreparedSlide:
        self._close()
        try:
            prepared = self._order.prepare(surveyed)
        except BaseException:
            surveyed.slide.close()
            raise
        self._open = job, prepared
        return prepared

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].slide.close()
        self._open = None
