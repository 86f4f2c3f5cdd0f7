"""What the device can do at best, measured in the same run as what it does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from scanner.inference.scorer import dtype_of
from scanner.settings import PRECISIONS

#: One measurement lasts at least so long: shorter ones measure the clock.
MIN_SECONDS = 0.02


@dataclass(frozen=True)
class Bounds:
    """Rates of one device."""

    #: Floating-point operations per second of a large matrix product, by precision.
    matrix: dict[str, float]
    #: Bytes per second on the device, read and written ones added.
    copy: float
    #: Bytes per second from pinned memory to the device, and back.
    up: float
    down: float

    def seconds(self, precision: str, *, flops: float, size: float) -> float:
        """The time that so many operations and bytes of memory traffic need at least."""
        return max(flops / self.matrix[precision], size / self.copy)


def timed(run: Callable[[], object], device: torch.device, *, rounds: int) -> float:
    """Seconds of one run: the median of `rounds`, after one that sets it up.

    `torch.utils.benchmark` needs setuptools, which a host with torch alone may lack.
    """
    run()
    once = _seconds(run, device, 1)
    repeat = max(1, round(MIN_SECONDS / max(once, 1e-6))) if device.type == "cuda" else 1
    return statistics.median(_seconds(run, device, repeat) for _ in range(rounds))


def _seconds(run: Callable[[], object], device: torch.device, repeat: int) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(repeat):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / repeat


def measure_bounds(device: torch.device, *, rounds: int) -> Bounds:
    """Measure the rates of `device`."""
    is_gpu = device.type == "cuda"
    side, size = (8192, 1 << 30) if is_gpu else (256, 1 << 24)
    matrix = {}
    for name in PRECISIONS:
        left, right = (torch.randn(side, side, device=device).to(dtype_of(name)) for _ in range(2))
        with matrix_products(allow_tf32=name == "tf32"):
            matrix[name] = 2 * side**3 / timed(lambda a=left, b=right: a @ b, device, rounds=rounds)
    source, target = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    host = torch.empty(size, dtype=torch.uint8, pin_memory=is_gpu)
    copy = timed(lambda: target.copy_(source), device, rounds=rounds)
    up = timed(lambda: target.copy_(host, non_blocking=True), device, rounds=rounds)
    down = timed(lambda: host.copy_(source, non_blocking=True), device, rounds=rounds)
    return Bounds(matrix, 2 * size / copy, size / up, size / down)


@contextmanager
def matrix_products(*, allow_tf32: bool) -> Iterator[None]:
    """Whether products of float32 matrices may be rounded to tf32."""
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "tf32" if allow_tf32 else "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before
