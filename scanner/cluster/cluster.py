"""The same batch on many hosts: one actor per GPU, which loads the model once and takes slide after slide.

Ray carries calls and says which of them were lost; `scanner.cluster.dispatch` decides what is done next, and again. A
slide whose host is gone goes on from its own checkpoint on another one, where both see the folder of the results.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from scanner.batch.batch import BatchOrder
from scanner.batch.last_defence import failed, guarded, record
from scanner.batch.outcomes import Outcome, Watcher, begin_batch
from scanner.batch.worklist import Job
from scanner.cluster.connection import Starts, connected
from scanner.cluster.dispatch import Dispatch, Step, Task
from scanner.cluster.worker import Answer, Assignment, ClusterWorker
from scanner.devices.device_queue import StageSeconds
from scanner.errors import ClusterError, UnavailableError
from scanner.files.printable import printable
from scanner.inference.progress import Progress

#: A slide, or a band, that has taken its host down so often is given up.
MAX_LOSSES = 3
#: Time in which the first worker must start on a cluster that has neither processors nor GPUs yet, s.
START_SECONDS = 50.0
logger = logging.getLogger(__name__)


def scan_cluster(
    jobs: Sequence[Job], order: BatchOrder, out: Path, *, address: str, watcher: Watcher | None = None
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
    watcher : Watcher, optional
        Hears of starts, of the progress of every slide in hand, and of outcomes.

    Returns
    -------
    list of Outcome
        In the order of `jobs`.

    Raises
    ------
    ClusterError
        Ray is not installed, there is no cluster at that address, or workers cannot start on it.
    UnavailableError
        A host of it has not the device or the precision.
    """
    begin_batch(out, order.keywords)
    with connected(address) as ray:
        batch = _ClusterBatch(ray, jobs, order, out, guarded(watcher))
        return batch.run()


@dataclass
class _Slide:
    """What is known of a slide in hand."""

    started: float
    #: How far each of its bands is.
    bands: list[Progress] = field(default_factory=list)
    #: What its bands took, on all hosts.
    spent: StageSeconds = field(default_factory=StageSeconds)

    def spend(self, seconds: StageSeconds) -> None:
        for name, value in vars(seconds).items():
            setattr(self.spent, name, getattr(self.spent, name) + value)

    def progress(self) -> Progress:
        """Of all bands together."""
        counts = ((band.tiles_done, band.tiles_total, band.mm2_done, band.mm2_total) for band in self.bands)
        return Progress(*(sum(numbers) for numbers in zip(*counts, strict=True)))


@dataclass(eq=False)
class _Actor:
    """A ClusterWorker on some host."""

    handle: Any
    #: What it does now; None while it starts or waits.
    task: Task | None = None
    #: The slide that it has open.
    at_hand: int | None = None
    #: Whether an answer on its progress is under way.
    is_asked: bool = False


class _ClusterBatch:
    """One batch: which actor has which task, and how slides ended."""

    def __init__(self, ray: ModuleType, jobs: Sequence[Job], order: BatchOrder, out: Path, watcher: Watcher) -> None:
        self._ray = ray
        self._jobs, self._out, self._watcher = jobs, out, watcher
        keywords: Any = {key: _absolute(value) for key, value in order.keywords.items()}
        self._order = ray.put(replace(order, keywords=keywords))
        self._dispatch = Dispatch(deque(range(len(jobs))))
        self._slides: dict[int, _Slide] = {}
        self._outcomes: dict[int, Outcome] = {}
        #: Pending calls, and who answers them: work, or to be ready for it; and progress.
        self._calls: dict[Any, _Actor] = {}
        self._questions: dict[Any, _Actor] = {}
        self._idle: list[_Actor] = []
        self._starts = Starts()

    def run(self) -> list[Outcome]:
        """Scan until every slide has ended."""
        make_actor, room = self._actor_maker()
        while len(self._outcomes) < len(self._jobs):
            self._employ(make_actor, room)
            call = self._next_answer()
            if call in self._questions:
                self._hear(self._questions.pop(call), call)
            else:
                self._settle(self._calls.pop(call), call)
        return [self._outcomes[index] for index in range(len(self._jobs))]

    def _next_answer(self) -> Any:
        """The call that is answered next; ClusterError if none ever will be."""
        calls = [*self._calls, *self._questions]
        if not calls:
            raise ClusterError(f"workers cannot start on the cluster: {self._starts.cause}")
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=None if self._starts.has_any else START_SECONDS)
        while not ready:  # It may be busy with other work, or slow: but if there is nothing to start on, nothing will.
            if not {"CPU", "GPU"} & self._ray.cluster_resources().keys():
                raise ClusterError(f"no worker has started within {START_SECONDS:g} s: the cluster has no processors")
            logger.warning("no worker has started within %g s: is the cluster busy?", START_SECONDS)
            ready, _ = self._ray.wait(calls, num_returns=1, timeout=None)
        return ready[0]

    def _actor_maker(self) -> tuple[Callable[[], Any], int]:
        """What makes an actor, and how many the cluster has room for: one per GPU, or else one per processor."""
        resources = self._ray.cluster_resources()
        kind = "GPU" if resources.get("GPU", 0) >= 1 else "CPU"
        share = {"num_gpus": 1, "num_cpus": 1} if kind == "GPU" else {"num_cpus": 1}
        # Two at once: one works, the other says how far that is.
        remote = self._ray.remote(max_restarts=0, max_concurrency=2, **share)(ClusterWorker)
        return (lambda: remote.remote(self._order)), max(1, int(resources.get(kind, 1)))

    def _employ(self, make_actor: Callable[[], Any], room: int) -> None:
        """Give work to whoever is idle, and start actors for what is left of it, as far as there is room."""
        while self._idle and (task := self._dispatch.next_task(self._idle[-1].at_hand)) is not None:
            self._assign(self._idle.pop(), task)
        # An actor in place of a lost one starts when there is room for it: at once if only a process died, never if its
        # host is gone for good, and that keeps nobody waiting.
        starting = sum(actor.task is None for actor in self._calls.values())
        places = 0 if self._starts.are_given_up else room - len(self._calls) - len(self._idle)
        for _ in range(min(places, self._dispatch.open_tasks - starting)):
            actor = _Actor(make_actor())
            self._calls[actor.handle.refusal.remote()] = actor

    def _assign(self, actor: _Actor, task: Task) -> None:
        job = self._jobs[task.slide]
        if task.slide not in self._slides:
            self._slides[task.slide] = _Slide(time.monotonic())
            self._watcher.on_start(job)
        slide = self._slides[task.slide]
        # Its host has another working directory.
        there = Job(**{key: _absolute(value) for key, value in vars(job).items()})
        assignment = Assignment(task, there, self._out.absolute(), self._dispatch.was_lost(task.slide))
        if task.step is Step.FINISH and len(slide.bands) > 1:
            assignment = replace(assignment, seconds=time.monotonic() - slide.started, spent=slide.spent)
        actor.task, actor.at_hand = task, task.slide
        self._calls[actor.handle.work.remote(assignment)] = actor
        self._ask(actor)

    def _ask(self, actor: _Actor) -> None:
        """Have an actor say how far it is, if it is not about to."""
        if not actor.is_asked:
            self._questions[actor.handle.progress.remote()] = actor
            actor.is_asked = True

    def _hear(self, actor: _Actor, call: Any) -> None:
        actor.is_asked = False
        try:
            said = self._ray.get(call)
        except self._ray.exceptions.RayError:
            return  # Its work is lost as well, and that is dealt with where it is noticed.
        if said is not None:
            self._note(*said)
        if actor.task is not None:
            self._ask(actor)

    def _note(self, task: Task, progress: Progress) -> None:
        """Take down how far a band is, if that is news."""
        place, slide = task.band or 0, self._slides[task.slide]
        is_over = task.slide in self._outcomes or place >= len(slide.bands)
        if not is_over and progress.tiles_done > slide.bands[place].tiles_done:
            slide.bands[place] = progress
            self._watcher.on_progress(self._jobs[task.slide], slide.progress())

    def _settle(self, actor: _Actor, call: Any) -> None:
        """Take an actor's answer, or its end, and let it go on."""
        task, actor.task = actor.task, None
        try:
            answer = self._ray.get(call)
        # Not only of a lost host: Ray ends what takes too much memory, and loses what it cannot carry.
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor.handle)  # Perhaps it is only out of reach: it must not go on beside its successor.
            if task is None:
                self._starts.failed(error)
            else:
                self._lose(task, str(error).splitlines()[0])
            return
        if task is None:
            self._starts.succeeded()
            if answer:
                raise UnavailableError(answer)
        onwards = None if task is None else self._take(task, answer)
        if onwards is None:
            self._idle.append(actor)
        else:
            self._assign(actor, onwards)

    def _take(self, task: Task, answer: Answer) -> Task | None:
        """Take the answer to a task; returns what the same actor goes on with, if that is certain."""
        if task.slide in self._outcomes:
            return None  # Another band of it has failed.
        if isinstance(answer, Outcome):
            self._end(task.slide, answer)
            return None
        slide = self._slides[task.slide]
        if isinstance(answer, StageSeconds):
            assert task.band is not None
            slide.spend(answer)
            whole = slide.bands[task.band]
            self._note(task, Progress(whole.tiles_total, whole.tiles_total, whole.mm2_total, whole.mm2_total))
            return self._dispatch.scored(task)
        slide.bands = answer
        return self._dispatch.begun(task.slide, len(answer))

    def _lose(self, task: Task, reason: str) -> None:
        """A host is gone, with a task in its hands: another one goes on with it."""
        if task.slide in self._outcomes:
            return
        job = self._jobs[task.slide]
        logger.warning("%s: its host was lost (%s)", printable(job.slide), reason)
        if self._dispatch.lose(task) >= MAX_LOSSES:
            self._end(task.slide, failed(job, self._out, f"its host was lost {MAX_LOSSES} times: {reason}"))

    def _end(self, index: int, outcome: Outcome) -> None:
        self._dispatch.end(index)
        self._outcomes[index] = outcome = replace(outcome, slide=str(self._jobs[index].slide))
        ended = [self._outcomes[place] for place in sorted(self._outcomes)]
        record(self._out, ended, total=len(self._jobs))
        self._watcher.on_outcome(self._jobs[index], outcome)


def _absolute(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value
