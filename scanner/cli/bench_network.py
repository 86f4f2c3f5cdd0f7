"""mitoscan bench: a model's dense net beside the same classifier patch by patch, on one device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from models import Model
from scanner.dense import DenseNet
from scanner.dense.capabilities import describe_machine
from scanner.inference.engine import describe_network
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.settings import ScanSettings, scan_stride

#: Side of the area that the dense net scores, in grid px, and patches in a row that the patch loop scores.
SIDE, LOOP_PATCHES = 512, 64
#: Each way is repeated at least so often, and so long; the median counts.
MIN_RUNS, MIN_SECONDS = 3, 1.0


def bench_network(model: Model, settings: ScanSettings) -> Iterator[str]:
    """Lines of the report: ns of wall clock per covered pixel both ways, and how far their scores differ."""
    stride = scan_stride(settings, model.card.stride)
    loop, dense = (
        prepare_scorer(model, None, stride=stride, device=settings.device, engine=engine, precision=settings.precision)
        for engine in ("patch", "dense")
    )
    yield describe_machine()
    yield ""
    yield f"{model.card.name}, stride {stride}, {dense.device}, {dense.precision}: {describe_network(dense.net)}."
    if isinstance(dense.net, DenseNet) and dense.net.native is not None:
        yield f"Native form: {dense.net.native.reason}."
    patch = model.card.patch_size
    strip = _pixels(loop, patch, patch + (LOOP_PATCHES - 1) * stride)
    tile = _pixels(dense, *2 * (patch - 1 + SIDE,))
    loop_ns, dense_ns = _nanoseconds(loop, strip), _nanoseconds(dense, tile)
    difference = float((loop.compute(strip) - dense.compute(strip)).abs().max())
    yield ""
    yield "| way | ns/px | ratio |"
    yield "| --- | --- | --- |"
    for name, nanoseconds in (("patch by patch", loop_ns), (f"dense, tile of {SIDE} px", dense_ns)):
        yield f"| {name} | {nanoseconds:,.1f} | {loop_ns / nanoseconds:,.1f} |"
    yield ""
    yield f"Largest difference of a probability: {difference:.1e}."


def _pixels(scorer: Scorer, height: int, width: int) -> Tensor:
    """Random pixels, (1, h, w, C), on the scorer's device."""
    shape = (1, height, width, scorer.card.normalisation.pixel_channels)
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(scorer.device)


def _nanoseconds(scorer: Scorer, pixels: Tensor) -> float:
    """Wall clock per grid px that the scores answer for; the first run sets everything up."""
    covered = scorer.compute(pixels)[0, 0].numel() * scorer.stride**2
    seconds: list[float] = []
    while len(seconds) < MIN_RUNS or sum(seconds) < MIN_SECONDS:
        started = time.perf_counter()
        scorer.compute(pixels).cpu()  # Waits for a GPU.
        seconds.append(time.perf_counter() - started)
    return 1e9 * statistics.median(seconds) / covered
