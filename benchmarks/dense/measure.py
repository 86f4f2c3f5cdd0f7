"""Timing that can be trusted on a shared machine: processor time, interleaved rounds, the peak of the same run.

`torch.utils.benchmark` reads one clock, finishes one case before it begins the next, and needs setuptools.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

#: A case is repeated within a round until it has run this long: short runs measure the clock.
MIN_SECONDS = 0.05
#: Bytes of the copy whose rate is called the bandwidth of memory: far more than fit into the caches that are ours.
_COPY_BYTES = 256 << 20
#: Side and maps of the convolution whose rate is called the machine's peak.
_PEAK_SIDE, _PEAK_MAPS = 64, 256


@dataclass(frozen=True)
class Case:
    """One way to score some pixels."""

    name: str
    run: Callable[[], object]
    #: Image pixels that one run answers for: outputs times the square of the output stride.
    pixels: int


@dataclass(frozen=True)
class Timing:
    """Nanoseconds per covered pixel, one value a round."""

    #: Processor time of all threads of the process.
    cpu: tuple[float, ...]
    wall: tuple[float, ...]

    @property
    def median_cpu(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.cpu)

    @property
    def best_cpu(self) -> float:
        """The round that others disturbed least."""
        return min(self.cpu)

    @property
    def median_wall(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.wall)


def measure(cases: Sequence[Case], *, rounds: int = 5) -> list[Timing]:
    """Time each case once per round, in turn, so that a slow minute of the machine is shared by all.

    Parameters
    ----------
    cases : sequence of Case
    rounds : int
        After one round that warms up.

    Returns
    -------
    list of Timing, one per case
    """
    cpu: list[list[float]] = [[] for _ in cases]
    wall: list[list[float]] = [[] for _ in cases]
    with torch.inference_mode():
        for number in range(rounds + 1):
            for index, case in enumerate(cases):
                cpu_ns, wall_ns = _time_once(case)
                if number:
                    cpu[index].append(cpu_ns)
                    wall[index].append(wall_ns)
    return [Timing(tuple(c), tuple(w)) for c, w in zip(cpu, wall, strict=True)]


def _time_once(case: Case) -> tuple[float, float]:
    """CPU and wall nanoseconds per pixel."""
    wall, cpu, runs = time.perf_counter_ns(), time.process_time_ns(), 0
    while runs == 0 or time.perf_counter_ns() - wall < MIN_SECONDS * 1e9:
        case.run()
        runs += 1
    pixels = case.pixels * runs
    return (time.process_time_ns() - cpu) / pixels, (time.perf_counter_ns() - wall) / pixels


def peak_case(dtype: torch.dtype = torch.float32) -> tuple[Case, int]:
    """A 256 -> 256 convolution, as fast as oneDNN gets, and its FLOPs per run."""
    image = torch.randn(1, _PEAK_MAPS, _PEAK_SIDE + 2, _PEAK_SIDE + 2).to(dtype)
    image = image.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(_PEAK_MAPS, _PEAK_MAPS, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    flops = 2 * _PEAK_MAPS**2 * 9 * _PEAK_SIDE**2
    return Case(f"peak {str(dtype).removeprefix('torch.')}", lambda: F.conv2d(image, weight), 1), flops


def copy_case() -> tuple[Case, int]:
    """A copy within memory, and the bytes that it reads and writes."""
    source = torch.zeros(_COPY_BYTES // 8)
    target = torch.empty_like(source)
    return Case("copy", lambda: target.copy_(source), 1), _COPY_BYTES
