"""The queue of tiles in front of one device: the device computes while the host does something else.

Tiles go in by `launch`, which comes back at once, and their scores come out of what it returned, in any order. On a CPU
a thread of its own computes (torch and the native form let go of Python's lock); on a GPU `scanner.devices.cuda_queue`
has three streams: one up, one that computes, one down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Barrier, Lock
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from scanner.geometry.arrays import FloatMap
from scanner.geometry.arrays import Pixels as Pixels

#: (N, h, w, 3) uint8 on a device -> (N, K, rows, cols) float32 on it.
Compute = Callable[[Tensor], Tensor]


@dataclass
class StageSeconds:
    """A timer of a scan's stages; readers work beside the network, so the sum may exceed the wall clock."""

    read: float = 0.0
    #: Between the first tile and the last: time for which the device had nothing to do.
    wait: float = 0.0
    #: Time for which the device computed.
    net: float = 0.0


#: What torch says where the host has no memory; it has no type for that.
_NO_HOST_MEMORY = "can't allocate memory"


class Pending(Protocol):
    """Scores that are being computed."""

    def result(self) -> FloatMap:
        """Wait for them: (N, K, rows, cols); raises what the computation raised."""


@dataclass(frozen=True)
class Deferred:
    """Scores that are computed, or waited for, when they are wanted."""

    result: Callable[[], FloatMap]


class DeviceQueue(Protocol):
    """The queue of tiles in front of a device."""

    #: Launches that are computed side by side: so many need twice as many to be on their way.
    at_once: int

    def launch(self, parts: Sequence[Pixels]) -> Pending:
        """Let the device score tiles of one shape, (h, w, 3) each, and do not wait."""

    def free_memory(self) -> None:
        """Give memory back that is held for speed alone: the device has run out of it."""

    def close(self) -> None:
        """Drop what has not begun."""


class HostQueue:
    """Threads that compute, in the order of the launches: one with all processors, or `at_once` that share them.

    Those that share them never wait for each other, which threads on one tile do after every few rows; and where a
    reader takes a processor, one of them alone stands still.
    """

    def __init__(self, compute: Compute, seconds: StageSeconds, *, at_once: int = 1) -> None:
        self.at_once = at_once
        self._compute = compute
        self._clock = _Clock(seconds)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="network")
        if at_once > 1:
            self._share_processors()

    def launch(self, parts: Sequence[Pixels]) -> Future[FloatMap]:
        """As the protocol says."""
        return self._threads.submit(self._run, parts)

    def free_memory(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        self._threads.shutdown(cancel_futures=True)

    def _run(self, parts: Sequence[Pixels]) -> FloatMap:
        with self._clock.running(), _torch_says_memory():
            pixels = parts[0][None] if len(parts) == 1 else np.stack(parts)
            values: FloatMap = self._compute(torch.from_numpy(pixels)).numpy()
        return values

    def _share_processors(self) -> None:
        """Give each thread its part of them; torch keeps a number for each thread."""
        processors, barrier = torch.get_num_threads(), Barrier(self.at_once + 1)

        def begin() -> None:
            torch.set_num_threads(max(1, processors // self.at_once))
            barrier.wait()

        for _ in range(self.at_once):
            self._threads.submit(begin)
        barrier.wait()
        torch.set_num_threads(processors)  # Any thread to come begins with what was set last.


class _Clock:
    """Counts when at least one thread computes, and when none does between two that do."""

    def __init__(self, seconds: StageSeconds) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._busy = 0
        #: When the first thread began, or the last ended.
        self._turned: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._lock:
            now, was_busy = time.perf_counter(), self._busy > 0
            self._busy += more
            if was_busy == (self._busy > 0):
                return
            if self._turned is not None:
                passed = now - self._turned
                if was_busy:
                    self._seconds.net += passed
                else:
                    self._seconds.wait += passed
            self._turned = now


@contextmanager
def _torch_says_memory() -> Iterator[None]:
    """MemoryError, where torch raises RuntimeError because the host has no memory."""
    try:
        yield
    except RuntimeError as error:
        if _NO_HOST_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        raise
