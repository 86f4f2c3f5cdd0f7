"""The scan's loop on a device: each of its stages alone, then all of them together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import torch

from benchmarks.gpu.bounds import Bounds, timed
from benchmarks.gpu.networks import Order, Subject, cost, prepare
from models.card import ModelCard
from models.pixel_tables import normalisation_table
from scanner.dense import densify
from scanner.devices.device_queue import StageSeconds
from scanner.inference.scorer import IN_FLIGHT, Scorer, dtype_of
from scanner.maps.peaks_on_gpu import disk_mean

#: Tiles that go through the loop.
_TILES = 64
#: Radius of the smoothing disk, in grid px: 3.2 um at 0.25 um/px.
_SMOOTHING_PX = 12.8
_MPP = 0.25


def scorer_of(subject: Subject, stride: int, precision: str, device: torch.device) -> Scorer:
    """A scorer as a scan has it."""
    card = ModelCard(
        name=subject.name,
        version="0",
        architecture="none",
        arguments={},
        patch_size=subject.patch_size,
        mpp=_MPP,
        stride=stride,
        threshold=0.5,
        radius_um=7.5,
        smoothing_um=3.2,
        margin_um=3.0,
    )
    net = densify(subject.net, subject.patch_size, stride).to(device, dtype_of(precision))
    table = normalisation_table(card.normalisation).to(device)
    return Scorer(net, table, card, device, dtype=dtype_of(precision), is_tf32=precision == "tf32")


@torch.inference_mode()
def stage_table(subject: Subject, order: Order, bounds: Bounds) -> Iterator[str]:
    """Lines of the stages of one tile, at the first stride and the largest tile."""
    stride, side = order.strides[0], order.tiles[-1]
    yield f"### {subject.name}, q = {stride}, tile {side}: stage by stage"
    yield ""
    yield "| precision | stage | us | share of bound |"
    yield "|---|---|---|---|"
    for precision in order.precisions:
        scorer = scorer_of(subject, stride, precision, order.device)
        for name, run, least in stages(scorer, subject, side, bounds, precision):
            seconds = timed(run, order.device, rounds=order.rounds)
            yield f"| {precision} | {name} | {seconds * 1e6:.0f} | {least / seconds:.0%} |"
    yield ""


def stages(
    scorer: Scorer, subject: Subject, side: int, bounds: Bounds, precision: str
) -> list[tuple[str, Callable[[], object], float]]:
    """Name, work and least seconds of each stage."""
    device, length = scorer.device, side + subject.patch_size - 1
    host = torch.randint(0, 256, (1, length, length, 3), dtype=torch.uint8)
    host = host.pin_memory() if device.type == "cuda" else host
    pixels = host.to(device)
    with scorer.arithmetic():
        images = scorer.normalise(pixels)
        logits = scorer.net(images)
    scores = scorer.probability(logits)
    back = torch.empty(scores.shape, pin_memory=device.type == "cuda")
    item = images.element_size()
    needed = cost(prepare(subject, scorer.stride, precision, device), images)
    radius = _SMOOTHING_PX / scorer.stride

    def network() -> object:
        with scorer.arithmetic():
            return scorer.net(images)

    return [
        ("pixels up", lambda: pixels.copy_(host, non_blocking=True), host.numel() / bounds.up),
        ("normalisation", lambda: scorer.normalise(pixels), pixels.numel() * (1 + item) / bounds.copy),
        ("network", network, bounds.seconds(precision, **needed)),
        ("probability", lambda: scorer.probability(logits), (logits.numel() * item + 4 * scores.numel()) / bounds.copy),
        ("scores down", lambda: back.copy_(scores, non_blocking=True), 4 * scores.numel() / bounds.down),
        ("smoothing", lambda: disk_mean(scores[0, 0], radius), 8 * scores.numel() / bounds.copy),
    ]


def loop_table(subject: Subject, order: Order) -> Iterator[str]:
    """Lines of the loop as a scan runs it, without reading: pixels in host memory in, scores in host memory out."""
    yield f"### {subject.name}: the loop, pixels in, scores out"
    yield ""
    yield "| precision | q | tile | Gpx/s | mm2/s at 0.25 um/px | device idle |"
    yield "|---|---|---|---|---|---|"
    count = _TILES if order.device.type == "cuda" else 2
    for precision in order.precisions:
        for stride in order.strides:
            for side in order.tiles:
                scorer = scorer_of(subject, stride, precision, order.device)
                try:
                    seconds, idle = run_loop(scorer, side, count)
                except torch.OutOfMemoryError:
                    continue  # A scan would go on in halves; that is not what is measured here.
                speed = count * side**2 / seconds
                area = speed * (_MPP / 1000) ** 2
                yield f"| {precision} | {stride} | {side} | {speed / 1e9:.3f} | {area:.2f} | {idle:.0%} |"
    yield ""


def run_loop(scorer: Scorer, side: int, count: int) -> tuple[float, float]:
    """Seconds of `count` tiles, and the share of them in which the device computed nothing."""
    length = side + scorer.card.patch_size - 1
    pixels = torch.randint(0, 256, (length, length, 3), dtype=torch.uint8).numpy()
    timer = StageSeconds()
    queue = scorer.open_queue(timer, batches=1)
    try:
        for _ in range(2 * IN_FLIGHT):  # Buffers, the choice of a form, and the graph.
            queue.launch([pixels]).result()
        before, started = timer.net, time.perf_counter()
        flight = deque(queue.launch([pixels]) for _ in range(IN_FLIGHT))
        for _ in range(count - IN_FLIGHT):
            flight.popleft().result()
            flight.append(queue.launch([pixels]))
        for pending in flight:
            pending.result()
        seconds = time.perf_counter() - started
        return seconds, max(0.0, 1 - (timer.net - before) / seconds)
    finally:
        queue.close()
