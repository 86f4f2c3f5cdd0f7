"""What runs on a host of a cluster: one slide open at a time, and what it is told to do of it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

from scanner.batch.batch import BatchOrder, Begun, begin_job, open_job, scan_job, skip_job
from scanner.batch.last_defence import or_failure
from scanner.batch.outcomes import Outcome
from scanner.batch.worklist import Job
from scanner.cluster.bands import begin_bands, score_band
from scanner.cluster.dispatch import Step, Task
from scanner.devices.device import choose_device
from scanner.devices.device_queue import StageSeconds
from scanner.errors import SettingsError
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import Progress
from scanner.maps.unfinished import wait_for_release
from scanner.settings import ScanSettings

#: Time for which a slide's folder may still be held by what is left of a lost host, s.
RELEASE_SECONDS = 60.0
#: Time between two answers on progress, s.
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Assignment:
    """A task with what its worker must know."""

    task: Task
    job: Job
    #: Folder of the batch.
    out: Path
    #: A host that had to do with this slide is gone.
    was_lost: bool
    #: Seconds since the slide was begun, and what its bands took on all hosts; of FINISH after bands.
    seconds: float = 0.0
    spent: StageSeconds | None = None


#: Of FINISH, of a slide that was done before, and of what fails: how the slide ended. Of BEGIN: what there is to do in
#: each band. Of SCORE: what it took.
Answer = Outcome | list[Progress] | StageSeconds


class ClusterWorker:
    """Runs on one GPU, or on one share of the processors, of one host."""

    def __init__(self, order: BatchOrder) -> None:
        self._order = order
        self._at_hand: tuple[Job, PreparedSlide] | None = None
        self._latest: tuple[Task, Progress] | None = None

    def refusal(self) -> str:
        """Why this host cannot scan as it is asked to; empty, once the model is here, if it can."""
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
        steps = {Step.BEGIN: self._begin, Step.SCORE: self._score, Step.FINISH: self._finish}
        answer = or_failure(job, assignment.out, lambda: steps[task.step](assignment))
        if isinstance(answer, Outcome):
            self._close()
        return answer

    def progress(self) -> tuple[Task, Progress] | None:
        """How far the task in hand is, after a while; None before its first tile. Runs beside `work`."""
        time.sleep(PROGRESS_SECONDS)
        return self._latest

    def _begin(self, assignment: Assignment) -> Answer:
        begun = begin_job(assignment.job, self._order)
        if isinstance(begun, dict):
            return skip_job(assignment.job, assignment.out, begun)
        return begin_bands(self._prepare(assignment.job, begun), assignment.job.folder)

    def _score(self, assignment: Assignment) -> Answer:
        job, band = assignment.job, assignment.task.band
        assert band is not None
        return score_band(self._prepared(job), job.folder, band, lambda progress: self._note(assignment.task, progress))

    def _finish(self, assignment: Assignment) -> Answer:
        prepared = self._prepared(assignment.job)
        if assignment.spent is not None:
            prepared = replace(prepared, seconds=assignment.seconds)
        return scan_job(
            assignment.job,
            assignment.out,
            prepared,
            on_progress=lambda progress: self._note(assignment.task, progress),
            seconds=assignment.spent,
        )

    def _note(self, task: Task, progress: Progress) -> None:
        if not progress.is_after_network:  # That is no band's.
            self._latest = task, progress

    def _prepared(self, job: Job) -> PreparedSlide:
        """The slide, which another worker has begun, or this one."""
        if self._at_hand is not None and self._at_hand[0] == job:
            return self._at_hand[1]
        return self._prepare(job, open_job(job, self._order))

    def _prepare(self, job: Job, begun: Begun) -> PreparedSlide:
        self._close()
        try:
            prepared = self._order.prepare(begun)
        except BaseException:
            begun.slide.close()
            raise
        self._at_hand = job, prepared
        return prepared

    def _close(self) -> None:
        if self._at_hand is not None:
            self._at_hand[1].slide.close()
        self._at_hand = None
