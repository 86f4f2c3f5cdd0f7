"""A cluster in simulated time: the dispatcher that `mitoscan scan --cluster` runs, with stage times that were measured.

Workers ask `scanner.cluster.dispatch.Dispatch` for tasks, as its actors do; a task takes as long as its work at the
worker's speed, and not less than its bytes from the store that all share.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from scanner.cluster.dispatch import Dispatch, Step, Task


@dataclass(frozen=True)
class StageTimes:
    """Seconds of one worker, measured."""

    survey: float
    #: Of the network with its reading, per mm2.
    network_per_mm2: float
    #: Figures, checks and files: per scan, and per mm2 of it.
    finish: float
    finish_per_mm2: float
    #: What the dispatcher needs to hand out a task and take its answer.
    dispatch: float = 0.01


@dataclass(frozen=True)
class SlideWork:
    """A slide to scan."""

    mm2: float
    bands: int
    #: What a scan reads of its file.
    gigabytes: float


@dataclass(frozen=True)
class Cluster:
    """Its workers, and what they share."""

    #: Of each worker: 1 is as fast as the one that was measured.
    speeds: tuple[float, ...]
    #: Of the store, GB/s for all together.
    store: float


@dataclass(frozen=True)
class Outcome:
    """A batch in simulated time."""

    seconds: float
    #: Sum over workers of the time for which they worked.
    busy: float
    mm2: float


@dataclass
class _Store:
    """One pipe: whoever reads waits until what was asked before is through."""

    rate: float
    free_at: float = 0.0

    def read(self, now: float, gigabytes: float) -> float:
        """When the bytes are there."""
        self.free_at = max(self.free_at, now) + gigabytes / self.rate
        return self.free_at


@dataclass
class _Worker:
    speed: float
    open_slide: int | None = None
    busy: float = field(default=0.0)


def simulate(slides: Sequence[SlideWork], cluster: Cluster, times: StageTimes) -> Outcome:
    """Run a batch to its end."""
    dispatch, store = Dispatch(deque(range(len(slides)))), _Store(cluster.store)
    workers = [_Worker(speed) for speed in cluster.speeds]
    idle = list(range(len(workers)))[::-1]
    events: list[tuple[float, int, int, Task]] = []  # end, order, worker, task
    now, order, ended = 0.0, 0, 0

    def begin(index: int, task: Task) -> None:
        nonlocal order
        worker, slide = workers[index], slides[task.slide]
        needed, gigabytes = _work(task, slide, times, is_open=worker.open_slide == task.slide)
        end = max(now + times.dispatch + needed / worker.speed, store.read(now, gigabytes))
        worker.busy, worker.open_slide = worker.busy + end - now, task.slide
        order += 1
        heapq.heappush(events, (end, order, index, task))

    while ended < len(slides):
        while idle and (task := dispatch.next_task(workers[idle[-1]].open_slide)) is not None:
            begin(idle.pop(), task)
        now, _, index, task = heapq.heappop(events)
        onwards = None
        if task.step is Step.SURVEY:
            onwards = dispatch.surveyed(task.slide, slides[task.slide].bands)
        elif task.step is Step.SCORE:
            onwards = dispatch.scored(task)
        else:
            dispatch.end(task.slide)
            ended += 1
        if onwards is None:
            idle.append(index)
        else:
            begin(index, onwards)
    return Outcome(now, sum(worker.busy for worker in workers), sum(slide.mm2 for slide in slides))


def _work(task: Task, slide: SlideWork, times: StageTimes, *, is_open: bool) -> tuple[float, float]:
    """Seconds at speed 1, and gigabytes from the store: a worker that takes a band of a slide surveys it first."""
    if task.step is Step.SURVEY:
        return times.survey, 0.0
    opening = 0.0 if is_open else times.survey
    if task.step is Step.SCORE:
        return opening + times.network_per_mm2 * slide.mm2 / slide.bands, slide.gigabytes / slide.bands
    finish = times.finish + times.finish_per_mm2 * slide.mm2
    if slide.bands < 2:  # One band: scored where it is finished.
        return opening + finish + times.network_per_mm2 * slide.mm2, slide.gigabytes
    return opening + finish, 0.0
