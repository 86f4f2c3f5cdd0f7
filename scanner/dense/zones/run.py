"""One layer on all its regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scanner.dense.network.graph import GraphNode
from scanner.dense.network.layers import AveragePool, Convolution, MaxPool, Step
from scanner.dense.network.plan import Node
from scanner.dense.zones.axis import ONE_ELEMENT, Span, image_span, meet, slide_window
from scanner.dense.zones.regions import (
    MAXIMUM,
    SUM,
    Axis,
    Block,
    Regions,
    Zone,
    as_maps,
    as_part,
    cut,
    reduce_patches,
    smallest,
    zones_of,
)


@dataclass(frozen=True)
class Spans:
    """Where padding reaches in one layer, along both axes."""

    rows: Span
    cols: Span


def spans_of_image(shape: tuple[int, int]) -> Spans:
    """Those of a patch of the image."""
    return Spans(*(image_span(length) for length in shape))


def spans_after(node: GraphNode, sources: list[Spans], stride: int) -> Spans:
    """Those of a layer; NoMiddleError if padding reaches all of it."""
    if closes(node, sources):
        return Spans(ONE_ELEMENT, ONE_ELEMENT)
    if not node.slides:
        return Spans(meet([source.rows for source in sources]), meet([source.cols for source in sources]))
    pads = ((0, 0), (0, 0)) if node.padding is None else (node.padding.rows, node.padding.cols)
    (source,) = sources
    return Spans(
        slide_window(source.rows, node.rows, pads[0], stride), slide_window(source.cols, node.cols, pads[1], stride)
    )


def closes(node: GraphNode, sources: list[Spans]) -> bool:
    """True for a pooling over the whole patch: it can be reduced zone by zone."""
    if not isinstance(node.layer, (AveragePool, MaxPool)) or node.padding is not None:
        return False
    windows = (node.rows.window.kernel, node.cols.window.kernel)
    return windows == (sources[0].rows.extent, sources[0].cols.extent)


def run_closing(node: GraphNode, source: Regions, axes: tuple[Axis, Axis]) -> Regions:
    """A pooling over the whole patch: one value a patch and channel."""
    if isinstance(node.layer, AveragePool):
        value = reduce_patches(source, axes, SUM) / node.layer.divisor
    else:
        value = reduce_patches(source, axes, MAXIMUM)
    return Regions(ONE_ELEMENT, ONE_ELEMENT, {(Zone.BEFORE, Zone.BEFORE): value})


@dataclass(frozen=True)
class AxisTask:
    """How one zone of one axis is computed."""

    zone: Zone
    #: Elements of the input; None: its dense map, from value `phase` on.
    block: Block | None
    phase: int
    stride: int
    dilation: int


def axis_tasks(node: Node, padding: int, source: Span, target: Span) -> Iterator[AxisTask]:
    """The zones of a window's output that are not empty, and the input that each needs."""
    window, first = node.window, node.offset - padding
    bounds = {Zone.BEFORE: (0, target.before), Zone.AFTER: (target.extent - target.after, target.extent)}
    for zone in zones_of(target):
        if zone is Zone.MIDDLE:
            thin, spread = target.grid // source.grid, window.dilation * source.fragments
            yield AxisTask(zone, None, target.phase, thin, spread)
        else:
            low, high = bounds[zone]
            block = Block(low * window.stride + first, (high - 1) * window.stride + first + window.reach)
            yield AxisTask(zone, block, 0, window.stride, window.dilation)


def run_window(node: GraphNode, source: Regions, target: Spans, axes: tuple[Axis, Axis]) -> Regions:
    """A window's values from those of its input."""
    assert node.layer is not None
    pads = (0, 0) if node.padding is None else (node.padding.rows[0], node.padding.cols[0])
    fill = 0.0 if node.padding is None else node.padding.fill
    col_tasks = list(axis_tasks(node.cols, pads[1], source.cols, target.cols))
    parts = {}
    for rows in axis_tasks(node.rows, pads[0], source.rows, target.rows):
        for cols in col_tasks:
            x = cut(source, (rows.block, cols.block), axes, fill=fill)[:, :, :, rows.phase :, cols.phase :]
            stride, dilation = Step(rows.stride, cols.stride), Step(rows.dilation, cols.dilation)
            maps = _run_layer(node, as_maps(x), stride, dilation)
            parts[rows.zone, cols.zone] = as_part(maps, (x.shape[0], x.shape[1], x.shape[2]))
    return Regions(target.rows, target.cols, parts)


def _run_layer(node: GraphNode, x: Tensor, stride: Step, dilation: Step) -> Tensor:
    """The layer on one region.

    oneDNN on processors with AMX computes strided bfloat16 convolutions wrongly where they leave a single column: there
    a second one is computed, and dropped.
    """
    assert node.layer is not None
    reach = (node.cols.window.kernel - 1) * dilation.cols + 1
    is_single = x.shape[3] - reach < stride.cols
    if is_single and stride.cols > 1 and x.dtype is torch.bfloat16 and isinstance(node.layer, Convolution):
        return node.layer(F.pad(x, (0, stride.cols)), stride, dilation)[..., :1]  # type: ignore[no-any-return]
    return node.layer(x, stride, dilation)  # type: ignore[no-any-return]


def run_pointwise(node: GraphNode, sources: list[Regions], target: Spans, axes: tuple[Axis, Axis]) -> Regions:
    """The values of a layer that treats every element alone; several inputs are brought to the same regions first."""
    assert node.layer is not None
    parts = {}
    for row_zone in zones_of(target.rows):
        for col_zone in zones_of(target.cols):
            blocks = _block_of(row_zone, target.rows), _block_of(col_zone, target.cols)
            inputs = smallest([_brought(source, blocks, target, axes) for source in sources])
            maps = node.layer(*(as_maps(x) for x in inputs))
            parts[row_zone, col_zone] = as_part(maps, tuple(inputs[0].shape[:3]))  # type: ignore[arg-type]
    return Regions(target.rows, target.cols, parts)


def _block_of(zone: Zone, span: Span) -> Block | None:
    if zone is Zone.MIDDLE:
        return None
    return Block(0, span.before) if zone is Zone.BEFORE else Block(span.extent - span.after, span.extent)


def _brought(
    source: Regions, blocks: tuple[Block | None, Block | None], target: Spans, axes: tuple[Axis, Axis]
) -> Tensor:
    part = cut(source, blocks, axes)
    for dim, (own, wanted) in enumerate(((source.rows, target.rows), (source.cols, target.cols))):
        if blocks[dim] is None:
            skipped = (own.origin - wanted.origin) // own.grid
            part = part.narrow(3 + dim, skipped, part.shape[3 + dim] - skipped)
    return part
