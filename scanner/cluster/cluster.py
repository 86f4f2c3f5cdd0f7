"""The same batch on many hosts: one actor per GPU, which loads the model once and takes slide after slide.

Ray carries calls and reports which of them were lost; `scanner.cluster.dispatch` decides which task is next, and which
is repeated. A slide whose host is gone goes on from its checkpoint on another one, where both see the result folder.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from scanner.batch.batch import BatchOrder
from scanner.batch.last_defence import failed, guarded, record
from scanner.batch.outcomes import BatchCallbacks, Outcome, begin_batch
from scanner.batch.worklist import Job
from scanner.cluster.actors import Actor, Actors
from scanner.cluster.connection import connected
from scanner.cluster.dispatch import Dispatch, Step, Task
from scanner.cluster.slide_progress import SlideProgress
from scanner.cluster.worker import Answer, Assignment
from scanner.devices.device_queue import StageSeconds
from scanner.errors import UnavailableError
from scanner.files.printable import printable

#: A slide or band whose host was lost so often is given up.
MAX_LOSSES = 3
logger = logging.getLogger(__name__)


def scan_cluster(
    jobs: Sequence[Job], order: BatchOrder, out: Path, *, address: str, callbacks: BatchCallbacks | None = None
) -> list[Outcome]:
    """Scan every slide on a Ray cluster: the same files as `scan_batch` writes.

    Parameters
    ----------
    jobs : sequence of Job
    order : BatchOrder
    out : Path
        Folder of the batch, which every host sees under the same path, as it does the slides.
    address : str
        Of the cluster, or "local" for this machine alone.
    callbacks : BatchCallbacks, optional
        Called when a slide starts, as it progresses, and when it ends.

    Returns
    -------
    list of Outcome
        In the order of `jobs`.

    Raises
    ------
    ClusterError
        Ray is not installed, there is no cluster at that address, or workers cannot start on it.
    UnavailableError
        A host of it lacks the device or the precision.
    """
    begin_batch(out, order.keywords)
    with connected(address) as ray:
        batch = _ClusterBatch(ray, jobs, order, out, guarded(callbacks))
        return batch.run()


class _ClusterBatch:
    """One batch: which actor has which task, and how slides ended."""

    def __init__(
        self, ray: ModuleType, jobs: Sequence[Job], order: BatchOrder, out: Path, callbacks: BatchCallbacks
    ) -> None:
        self._ray = ray
        self._jobs, self._out, self._callbacks = jobs, out, callbacks
        keywords: Any = {key: _absolute(value) for key, value in order.keywords.items()}
        self._actors = Actors(ray, replace(order, keywords=keywords))
        self._dispatch = Dispatch(deque(range(len(jobs))))
        self._slides: dict[int, SlideProgress] = {}
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> list[Outcome]:
        """Scan until every slide has ended."""
        actors = self._actors
        while len(self._outcomes) < len(self._jobs):
            self._give_work()
            call = actors.wait()
            if call in actors.progress_calls:
                self._receive_progress(actors.progress_calls.pop(call), call)
            else:
                self._receive_answer(actors.work_calls.pop(call), call)
        return [self._outcomes[index] for index in range(len(self._jobs))]

    def _give_work(self) -> None:
        """Give tasks to idle actors, and start actors for what is left."""
        idle = self._actors.idle
        while idle and (task := self._dispatch.next_task(idle[-1].open_slide)) is not None:
            self._assign(idle.pop(), task)
        self._actors.start(self._dispatch.open_tasks)

    def _assign(self, actor: Actor, task: Task) -> None:
        job = self._jobs[task.slide]
        if task.slide not in self._slides:
            self._slides[task.slide] = SlideProgress(time.monotonic())
            self._callbacks.on_start(job)
        slide = self._slides[task.slide]
        # Its host has another working directory.
        there = Job(**{key: _absolute(value) for key, value in vars(job).items()})
        assignment = Assignment(task, there, self._out.absolute(), self._dispatch.was_lost(task.slide))
        if task.step is Step.FINISH and len(slide.bands) > 1:
            assignment = replace(assignment, seconds=time.monotonic() - slide.started, spent=slide.spent)
        actor.task, actor.open_slide = task, task.slide
        self._actors.work_calls[actor.handle.work.remote(assignment)] = actor
        self._actors.request_progress(actor)

    def _receive_progress(self, actor: Actor, call: Any) -> None:
        """Take an actor's report of its progress."""
        actor.is_progress_pending = False
        try:
            report = self._ray.get(call)
        except self._ray.exceptions.RayError:
            return  # Its work is lost as well; `_receive_answer` repeats that.
        if report is not None:
            task, progress = report
            is_over = task.slide in self._outcomes
            if not is_over and self._slides[task.slide].update(task.band or 0, progress):
                self._tell_progress(task.slide)
        if actor.task is not None:
            self._actors.request_progress(actor)

    def _receive_answer(self, actor: Actor, call: Any) -> None:
        """Take an actor's answer, or its end, and let it go on."""
        task, actor.task = actor.task, None
        try:
            answer = self._ray.get(call)
        # Not only when a host is lost: Ray also ends workers that take too much memory.
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor.handle)  # Perhaps it is only out of reach: it must not go on beside its successor.
            if task is None:
                self._actors.starts.failed(error)
            else:
                self._repeat_lost(task, str(error).splitlines()[0])
            return
        if task is None:
            self._actors.starts.succeeded()
            if answer:
                raise UnavailableError(answer)
        onwards = None if task is None else self._accept(task, answer)
        if onwards is None:
            self._actors.idle.append(actor)
        else:
            self._assign(actor, onwards)

    def _accept(self, task: Task, answer: Answer) -> Task | None:
        """Note the answer to a task; returns what the same actor goes on with, if that is certain."""
        if task.slide in self._outcomes:
            return None  # Another band of it has failed.
        if isinstance(answer, Outcome):
            self._end(task.slide, answer)
            return None
        slide = self._slides[task.slide]
        if isinstance(answer, StageSeconds):
            assert task.band is not None
            slide.add_seconds(answer)
            if slide.complete(task.band):
                self._tell_progress(task.slide)
            return self._dispatch.scored(task)
        slide.bands = answer
        return self._dispatch.surveyed(task.slide, len(answer))

    def _tell_progress(self, index: int) -> None:
        self._callbacks.on_progress(self._jobs[index], self._slides[index].total)

    def _repeat_lost(self, task: Task, reason: str) -> None:
        """Have another host do the task of one that is gone."""
        if task.slide in self._outcomes:
            return
        job = self._jobs[task.slide]
        logger.warning("%s: its host was lost (%s)", printable(job.slide), reason)
        if self._dispatch.lose(task) >= MAX_LOSSES:
            self._end(task.slide, failed(job, self._out, f"its host was lost {MAX_LOSSES} times: {reason}"))

    def _end(self, index: int, outcome: Outcome) -> None:
        """Record how a slide ended."""
        self._dispatch.end(index)
        self._outcomes[index] = outcome = replace(outcome, slide=str(self._jobs[index].slide))
        ended = [self._outcomes[place] for place in sorted(self._outcomes)]
        record(self._out, ended, total=len(self._jobs))
        self._callbacks.on_outcome(self._jobs[index], outcome)


def _absolute(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value
