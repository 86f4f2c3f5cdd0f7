"""Where time goes: every moment of a scan, or of a command, belongs to one stage, so that the stages add up to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Seconds of a stage."""

    wall: float = 0.0
    #: Of all processors of this host.
    processor: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.processor - other.processor)


def read_clocks(processor: Callable[[], float] = time.process_time) -> Spent:
    """What the clocks show now: a stage has spent the difference of two readings."""
    return Spent(time.perf_counter(), processor())


class StageClock:
    """Stages one after the other; one that is entered again goes on.

    Parameters
    ----------
    stage : str
        The first.
    before : mapping of str to Spent, optional
        Stages that have ended already.
    processor : callable, optional
        Seconds of processor time so far: of the whole process, unless a stage shares it with others.
    """

    def __init__(
        self,
        stage: str,
        before: Mapping[str, Spent] | None = None,
        *,
        processor: Callable[[], float] = time.process_time,
    ) -> None:
        self._spent = dict(before or {})
        self._stage = stage
        self._processor = processor
        self._since = read_clocks(processor)

    def enter(self, stage: str) -> None:
        """The stage so far ends, and this one begins."""
        now = read_clocks(self._processor)
        self._spent[self._stage] = self._spent.get(self._stage, Spent()) + (now - self._since)
        self._stage, self._since = stage, now

    def spent(self) -> dict[str, Spent]:
        """Seconds of every stage up to now."""
        self.enter(self._stage)
        return dict(self._spent)


def describe_stages(spent: Mapping[str, Spent]) -> dict[str, dict[str, float]]:
    """Stages as reports have them, in tenths of milliseconds."""
    return {stage: {"wall": round(one.wall, 4), "processor": round(one.processor, 4)} for stage, one in spent.items()}
