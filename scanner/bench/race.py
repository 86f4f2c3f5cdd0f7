"""The race: every contestant on the same pixels, in interleaved rounds, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scanner.bench.contestants import LOOP_PATCHES, PLAIN_LOOP, Contestant, dense_forms, patch_loops
from scanner.bench.measure import Case, Timing, measure, peak_case
from scanner.bench.peers import peers
from scanner.bench.subjects import Subject
from scanner.dense import densify, score_patches

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
class Race:
    """All rows of one network at one stride, and the peak that was measured between them."""

    rows: tuple[Row, ...]
    #: GFLOP/s of the 256-channel convolution, per second of processor time.
    peak_gflops: float


def race(subject: Subject, stride: int, tile: int, *, rounds: int = 5, with_loops: bool = True) -> Race:
    """Run every contestant on `tile` x `tile` pixels at output stride `stride`.

    Parameters
    ----------
    subject : Subject
    stride : int
        Output stride q.
    tile : int
        Side of the scored area, in pixels; a multiple of `stride`.
    rounds : int
    with_loops : bool
        False: only the plain loop, which every ratio needs.
    """
    image = subject.image(tile)
    contestants = [*_loops(subject, stride, with_loops=with_loops), *dense_forms(subject, stride)]
    contestants += [peer for peer in peers(subject, stride, tuple(image.shape)) if with_loops or not peer.is_loop]
    peak, peak_flops = peak_case()
    timings = measure([peak, *(_case(c, image, subject, stride) for c in contestants)], rounds=rounds)
    gflops = peak_flops / timings[0].median_cpu
    times = timings[1:]
    plain = next(t.median_cpu for c, t in zip(contestants, times, strict=True) if c.name == PLAIN_LOOP)
    flops = densify(subject.net, subject.patch_size).graph.flops_per_output(stride) / stride**2  # per pixel
    rows = tuple(
        Row(
            network=subject.name, stride=stride, tile=tile, contestant=contestant.name, timing=timing,
            ratio=plain / timing.median_cpu, difference=_difference(contestant, subject, image, stride),
            peak_share=0.0 if contestant.is_loop else flops / timing.median_cpu / gflops,
        )
        for contestant, timing in zip(contestants, times, strict=True)
    )  # fmt: skip
    return Race(rows, gflops)


def _loops(subject: Subject, stride: int, *, with_loops: bool) -> list[Contestant]:
    loops = patch_loops(subject, stride)
    return loops if with_loops else loops[:1]


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
