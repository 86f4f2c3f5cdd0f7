"""A lane: the queue of tiles in front of one device, so that the device computes while the host does something else.

Tiles go in by `launch`, which comes back at once, and their scores come out of what it returned, in any order. On a CPU
a thread of its own computes (torch and the native form let go of Python's lock); on a GPU `scanner.cuda_lane` has three
streams: one up, one that computes, one down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels = npt.NDArray[np.uint8]
FloatMap = npt.NDArray[np.float32]
#: (N, h, w, 3) uint8 on a device -> (N, K, rows, cols) float32 on it.
Compute = Callable[[Tensor], Tensor]


@dataclass
class StageSeconds:
    """Where the time of a scan goes; readers work beside the network, so the sum may exceed the wall clock."""

    read: float = 0.0
    #: Between the first tile and the last: time for which the device had nothing to do.
    wait: float = 0.0
    #: Time for which the device computed.
    net: float = 0.0
    post: float = 0.0


#: What torch says where the host has no memory; it has no type for that.
_NO_HOST_MEMORY = "can't allocate memory"


class Pending(Protocol):
    """Scores that are being computed."""

    def result(self) -> FloatMap:
        """Wait for them: (N, K, rows, cols); raises what the computation raised."""


class Lane(Protocol):
    """A device's queue."""

    def launch(self, parts: Sequence[Pixels]) -> Pending:
        """Let the device score tiles of one shape, (h, w, 3) each, and do not wait."""

    def relieve(self) -> None:
        """Give memory back that is held for speed alone: the device has run out of it."""

    def close(self) -> None:
        """Drop what has not begun."""


class HostLane:
    """One thread that computes, in the order of the launches."""

    def __init__(self, compute: Compute, seconds: StageSeconds) -> None:
        self._compute = compute
        self._seconds = seconds
        self._ended: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")

    def launch(self, parts: Sequence[Pixels]) -> Future[FloatMap]:
        """As the protocol says."""
        return self._thread.submit(self._run, parts)

    def relieve(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        self._thread.shutdown(cancel_futures=True)

    def _run(self, parts: Sequence[Pixels]) -> FloatMap:
        started = time.perf_counter()
        if self._ended is not None:
            self._seconds.wait += started - self._ended
        pixels = parts[0][None] if len(parts) == 1 else np.stack(parts)
        with _torch_says_memory():
            values: FloatMap = self._compute(torch.from_numpy(pixels)).numpy()
        self._ended = time.perf_counter()
        self._seconds.net += self._ended - started
        return values


@contextmanager
def _torch_says_memory() -> Iterator[None]:
    """MemoryError, where torch raises RuntimeError because the host has no memory."""
    try:
        yield
    except RuntimeError as error:
        if _NO_HOST_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        raise
