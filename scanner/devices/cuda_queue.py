"""A GPU's queue of tiles: copies up and down run beside the computation, on streams of their own.

    host      pinned buffer ── upload stream ──► device buffer
    device    device buffer ── compute stream (eager, or a graph of full tiles) ──► scores
    host      pinned scores ◄── download stream ── scores

Each launch uses the next of SLOTS sets of buffers, so that many tiles are in flight. Events, not waits of the host,
order the streams; the host waits only for the scores that it wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scanner.dense.gpu.cuda_graph import GraphedFunction
from scanner.devices.device_queue import Compute, Pixels, StageSeconds
from scanner.geometry.arrays import FloatMap

#: Tiles in flight: one computes while the next one's pixels go up and the last one's scores come down.
SLOTS = 2


@dataclass
class _Slot:
    """Buffers of one tile in flight; they are kept, for pinned memory is slow to get."""

    #: Page-locked, so that copies run beside everything else.
    pinned: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    pixels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    #: The launch that uses them.
    user: CudaPending | None = None


class CudaQueue:
    """Three streams and a few sets of buffers."""

    at_once = 1

    def __init__(
        self,
        compute: Compute,
        seconds: StageSeconds,
        device: torch.device,
        *,
        graph_shape: tuple[int, ...] | None = None,
    ) -> None:
        self._device = device
        self._seconds = seconds
        self._up, self._run, self._down = (_stream(device) for _ in range(3))
        #: Launches of this shape, (N, h, w, C), are replayed from a graph; none are if it is None.
        self._graphed = GraphedFunction(compute, self._run, graph_shape) if graph_shape else None
        self._compute: Compute = self._graphed or compute
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._launches = 0
        self._last_stop: torch.cuda.Event | None = None

    def launch(self, parts: Sequence[Pixels]) -> CudaPending:
        """As the protocol says; raises torch.OutOfMemoryError where the allocator does."""
        slot = self._slots[self._launches % SLOTS]
        self._launches += 1
        if slot.user is not None:
            slot.user.wait()  # Its buffers are about to be written again.
        pixels = self._upload(slot, parts)
        start, stop = _event(is_timed=True), _event(is_timed=True)
        with torch.cuda.stream(self._run):
            self._run.wait_stream(self._up)
            start.record()
            scores = self._compute(pixels)
            stop.record()
        with torch.cuda.stream(self._down):
            self._down.wait_event(stop)
            pinned = pinned_memory(scores.shape, scores.dtype)
            pinned.copy_(scores, non_blocking=True)
            # The scores are of the compute stream's memory: they must not be given away before they are down.
            scores.record_stream(self._down)
            done = _event(is_timed=False)
            done.record()
        slot.user = CudaPending(pinned, done, (self._last_stop, start, stop), self._seconds)
        self._last_stop = stop
        return slot.user

    def free_memory(self) -> None:
        """Drop the captured graph and the allocator's reserve."""
        torch.cuda.synchronize(self._device)
        if self._graphed is not None:
            self._graphed.clear()
        torch.cuda.empty_cache()

    def close(self) -> None:
        """Wait for what is in flight: the buffers must outlive their copies."""
        torch.cuda.synchronize(self._device)

    def _upload(self, slot: _Slot, parts: Sequence[Pixels]) -> Tensor:
        """The parts on the device, (N, h, w, 3), once the upload stream is so far."""
        shape = (len(parts), *parts[0].shape)
        count = int(np.prod(shape))
        if slot.pinned.numel() < count:
            slot.pinned = pinned_memory((count,), torch.uint8)
            slot.pixels = torch.empty(count, dtype=torch.uint8, device=self._device)
        staged = slot.pinned[:count].view(shape)
        for target, part in zip(staged.numpy(), parts, strict=True):
            np.copyto(target, part)
        pixels = slot.pixels[:count].view(shape)
        with torch.cuda.stream(self._up):
            pixels.copy_(staged, non_blocking=True)
        return pixels


def pinned_memory(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Page-locked memory of the host; torch keeps it for the next one who asks."""
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)


class CudaPending:
    """Scores on their way down."""

    def __init__(
        self,
        pinned: Tensor,
        done: torch.cuda.Event,
        marks: tuple[torch.cuda.Event | None, torch.cuda.Event, torch.cuda.Event],
        seconds: StageSeconds,
    ) -> None:
        self._pinned = pinned
        self._done = done
        #: End of the computation before, start and end of this one.
        self._marks = marks
        self._seconds = seconds
        self._is_counted = False

    def wait(self) -> None:
        """Until the scores are on the host."""
        self._done.synchronize()
        if self._is_counted:
            return
        self._is_counted = True
        before, start, stop = self._marks
        self._seconds.net += start.elapsed_time(stop) / 1000
        if before is not None:
            self._seconds.wait += before.elapsed_time(start) / 1000

    def result(self) -> FloatMap:
        """As the protocol says."""
        self.wait()
        values: FloatMap = self._pinned.numpy()
        return values


@contextmanager
def exact_convolutions(*, allow_tf32: bool) -> Iterator[None]:
    """CuDNN as a scan wants it: the same algorithm every time, and float32 in full, unless tf32 is asked for."""
    cudnn: Any = torch.backends.cudnn  # A module that turns into an object, which types do not follow.
    before = cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic
    cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic = "tf32" if allow_tf32 else "ieee", False, True
    try:
        yield
    finally:
        cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic = before


# torch does not say what these two take.
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event(*, is_timed: bool) -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=is_timed)  # type: ignore[no-untyped-call]
