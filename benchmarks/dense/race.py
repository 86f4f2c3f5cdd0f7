"""The race: every contestant on the same pixels, in interleaved rounds, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.dense.contestants import (
    LOOP_PATCHES,
    PLAIN_LOOP,
    USUAL_BATCH,
    Contestant,
    dense_forms,
    describe_choice,
    patch_loops,
)
from benchmarks.dense.loops import plain_loop
from benchmarks.dense.measure import Case, Timing, copy_case, measure, peak_case
from benchmarks.dense.peers import peers
from benchmarks.dense.subjects import Subject
from scanner.dense import densify, score_patches
from scanner.dense.network.layers import has_bfloat16_convolutions

#: Outputs along each axis that are compared with the classifier's own, at two opposite corners: one batch of 16.
_COMPARED = 4


@dataclass(frozen=True)
class Row:
    """One contestant on one network at one output stride."""

    network: str
    stride: int
    tile: int
    contestant: str
    timing: Timing
    #: Times less processor time than the plain loop at the same stride.
    ratio: float
    #: Largest difference of a logit from the classifier on that patch.
    difference: float
    #: FLOPs of the convolutions over time, as a share of the peak; 0 for loops.
    peak_share: float


@dataclass(frozen=True)
class Peaks:
    """What the machine can do, measured between the contestants, per second of processor time."""

    #: GFLOP/s of a 256-channel convolution.
    float32: float
    #: None where torch has no fast ones.
    bfloat16: float | None
    #: GB/s read and written by a copy.
    copy: float


@dataclass(frozen=True)
class Race:
    """All rows of one network at one stride, and the peaks that were measured between them."""

    rows: tuple[Row, ...]
    peaks: Peaks
    #: The form that the rule takes, and why.
    choice: str


@dataclass(frozen=True)
class Entry:
    """Which loops run in a race."""

    #: Batch sizes; none: only the plain loop, which every ratio needs.
    batches: tuple[int, ...] = (USUAL_BATCH,)
    #: torch.compile takes a minute to begin.
    compiled: bool = False


def race(subject: Subject, stride: int, tile: int, *, rounds: int = 5, entry: Entry | None = None) -> Race:
    """Run every contestant on `tile` x `tile` pixels at output stride `stride`.

    Parameters
    ----------
    subject : Subject
    stride : int
        Output stride q.
    tile : int
        Side of the scored area, in pixels; a multiple of `stride`.
    rounds : int
    entry : Entry
    """
    entry = entry or Entry()
    image = subject.image(tile)
    contestants = [*_loops(subject, stride, entry), *dense_forms(subject, stride)]
    contestants += peers(subject, stride, tuple(image.shape), batches=entry.batches)
    bounds = {"float32": peak_case(), "copy": copy_case()}
    if has_bfloat16_convolutions():
        bounds["bfloat16"] = peak_case(torch.bfloat16)
    cases = [*(case for case, _amount in bounds.values()), *(_case(c, image, subject, stride) for c in contestants)]
    timings = measure(cases, rounds=rounds)
    rates = {name: bounds[name][1] / timing.best_cpu for name, timing in zip(bounds, timings, strict=False)}
    peaks = Peaks(rates["float32"], rates.get("bfloat16"), rates["copy"])
    times = timings[len(bounds) :]
    plain = next(t.median_cpu for c, t in zip(contestants, times, strict=True) if c.name == PLAIN_LOOP)
    dense = densify(subject.net, subject.patch_size, stride)
    flops = dense.graph.flops_per_output(stride) / stride**2  # per pixel
    rows = tuple(
        Row(
            network=subject.name,
            stride=stride,
            tile=tile,
            contestant=contestant.name,
            timing=timing,
            ratio=plain / timing.median_cpu,
            difference=_difference(contestant, subject, image, stride),
            peak_share=0.0 if contestant.is_loop else flops / timing.median_cpu / _peak_of(contestant, peaks),
        )
        for contestant, timing in zip(contestants, times, strict=True)
    )
    return Race(rows, peaks, describe_choice(dense))


def _peak_of(contestant: Contestant, peaks: Peaks) -> float:
    return (contestant.precision is torch.bfloat16 and peaks.bfloat16) or peaks.float32


def _loops(subject: Subject, stride: int, entry: Entry) -> list[Contestant]:
    """The plain loop first."""
    if not entry.batches:
        return [Contestant(PLAIN_LOOP, plain_loop(subject, stride, batch=USUAL_BATCH), is_loop=True)]
    others = tuple(batch for batch in entry.batches if batch != USUAL_BATCH)
    return list(patch_loops(subject, stride, batches=(USUAL_BATCH, *others), compiled=entry.compiled))


def _case(contestant: Contestant, image: Tensor, subject: Subject, stride: int) -> Case:
    if contestant.is_loop:
        # A row of neighbouring patches: what a patch costs depends neither on the stride nor on their number.
        strip = subject.image(1, (LOOP_PATCHES - 1) * stride + 1)
        return Case(contestant.name, lambda: contestant.net(strip), LOOP_PATCHES * stride**2)
    outputs = (image.shape[2] - subject.patch_size) // stride + 1
    return Case(contestant.name, lambda: contestant.net(image), (outputs * stride) ** 2)


def _difference(contestant: Contestant, subject: Subject, image: Tensor, stride: int) -> float:
    """From the classifier in the same precision, on the patches of the first and the last corner."""
    outputs = (image.shape[2] - subject.patch_size) // stride + 1
    with torch.inference_mode():
        scores = None if contestant.is_loop else contestant.net(image)
        worst = 0.0
        for start in (0, outputs - _COMPARED):
            top, bottom = start * stride, (start + _COMPARED - 1) * stride + subject.patch_size
            corner, outs = image[:, :, top:bottom, top:bottom], slice(start, start + _COMPARED)
            found = contestant.net(corner) if scores is None else scores[:, :, outs, outs]
            worst = max(
                worst, float((found - score_patches(subject.net, corner, subject.patch_size, stride)).abs().max())
            )
    return worst
