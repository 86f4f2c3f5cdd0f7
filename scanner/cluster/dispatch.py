"""Which task a worker of a cluster does next: slides and bands as plain values, testable without a cluster.

A worker that is free takes first what a lost host has left, then the next band of the slide that it has open, then a
slide that nobody has taken, and steals a band from the slide with the most bands left when there is nothing else.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum


class Step(StrEnum):
    """A part of the work on a slide."""

    SURVEY = "survey"  # open and survey it; its scan may be finished already
    SCORE = "score"  # run the network over one of its bands
    FINISH = "finish"  # find the figures, write the files; of a slide that is one band, score it as well


@dataclass(frozen=True)
class Task:
    """Work for one worker."""

    #: Of the slide, in the order of the batch.
    slide: int
    step: Step
    #: Of SCORE.
    band: int | None = None


@dataclass
class _OpenSlide:
    """A slide that was surveyed: its bands that nobody has taken, and how many are not done."""

    waiting: deque[int]
    missing: int


@dataclass
class Dispatch:
    """The state of a batch."""

    #: Slides that nobody has taken, in their order.
    waiting: deque[int]
    #: Tasks whose workers were lost: they come first.
    lost: deque[Task] = field(default_factory=deque)
    losses: Counter[Task] = field(default_factory=Counter)
    _open: dict[int, _OpenSlide] = field(default_factory=dict)

    @property
    def open_tasks(self) -> int:
        """Tasks that workers could begin at this moment."""
        bands = sum(len(slide.waiting) for slide in self._open.values())
        return len(self.waiting) + len(self.lost) + bands

    def next_task(self, open_slide: int | None) -> Task | None:
        """What a free worker does next; None if there is nothing.

        Parameters
        ----------
        open_slide : int or None
            The slide that the worker has open.
        """
        if self.lost:
            return self.lost.popleft()
        if open_slide in self._open and self._open[open_slide].waiting:
            return Task(open_slide, Step.SCORE, self._open[open_slide].waiting.popleft())
        if self.waiting:
            return Task(self.waiting.popleft(), Step.SURVEY)
        richest = max(self._open, key=lambda slide: len(self._open[slide].waiting), default=None)
        if richest is None or not self._open[richest].waiting:
            return None
        # From the far end: whoever has the slide open goes on reading in order.
        return Task(richest, Step.SCORE, self._open[richest].waiting.pop())

    def surveyed(self, slide: int, bands: int) -> Task | None:
        """Note that a slide has so many bands; if it needs no sharing, returns what its worker goes on with."""
        if bands < 2:
            return Task(slide, Step.FINISH)
        self._open[slide] = _OpenSlide(deque(range(bands)), bands)
        return None

    def scored(self, task: Task) -> Task | None:
        """Note that a band is done; after the last one of its slide, returns what the worker goes on with."""
        slide = self._open.get(task.slide)
        if slide is None:
            return None  # The slide has failed meanwhile.
        slide.missing -= 1
        if slide.missing:
            return None
        del self._open[task.slide]
        return Task(task.slide, Step.FINISH)

    def lose(self, task: Task) -> int:
        """Note that a worker is gone with its task; returns how often that has happened to it."""
        self.losses[task] += 1
        self.lost.append(task)
        return self.losses[task]

    def was_lost(self, slide: int) -> bool:
        """Whether a host that worked on this slide is gone, and may still hold its files."""
        return any(task.slide == slide for task in self.losses)

    def end(self, slide: int) -> None:
        """Forget a slide that is done or has failed."""
        self._open.pop(slide, None)
        self.lost = deque(task for task in self.lost if task.slide != slide)
