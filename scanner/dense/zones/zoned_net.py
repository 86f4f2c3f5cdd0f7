"""zone: a padded patch classifier -> a network that scores every q-th patch, sharing what padding does not touch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from scanner.dense.conversion.check import check_conversion
from scanner.dense.conversion.fuse import fuse_graph
from scanner.dense.conversion.patchwise import count_positions
from scanner.dense.network.graph import Graph
from scanner.dense.network.heads import Heads, join_heads
from scanner.dense.network.plan import PatchSize, shape_of_patch
from scanner.dense.zones.axis import ONE_ELEMENT
from scanner.dense.zones.cost import Cost, head_costs
from scanner.dense.zones.cuts import Leading, cut_places, describe_place, head_graph, lead, patch_cost, tail_module
from scanner.dense.zones.regions import Axis, Block, Regions, cut, image_regions, later_rows
from scanner.dense.zones.run import Spans, run_closing, run_pointwise, run_window, spans_after, spans_of_image
from scanner.errors import InexactLayerError

#: Values that a layer's regions may hold at once: more patches are scored in blocks.
_BLOCK_VALUES = 16 << 20
#: Layers' worth of regions that are there together: the input and output of one, a branch beside it, blocks cut out.
_HELD_LAYERS = 6
#: Patches that go through the last layers together.
_BATCH = 64
#: Zones are used where they take at most this share of the patch loop's effort.
WORTH_IT = 0.8
#: Patches along an axis for which costs are estimated, before the block is known.
_TYPICAL = 64


@dataclass(frozen=True)
class ZoneEstimate:
    """What a patch costs by zones, and on its own."""

    #: Last layer that runs by zones; from there on, patch by patch.
    cut: str
    zones: Cost
    patch: Cost

    @property
    def flop_ratio(self) -> float:
        """How many times fewer FLOPs."""
        return self.patch.flops / self.zones.flops

    @property
    def is_cheaper(self) -> bool:
        """True if zones save work, with a margin for what the estimate does not know."""
        return self.zones.effort < WORTH_IT * self.patch.effort

    def __str__(self) -> str:
        return (
            f"by zones up to {self.cut!r}: {self.zones.flops / 1e6:.1f} MFLOP a patch, "
            f"patch by patch {self.patch.flops / 1e6:.1f}, {self.flop_ratio:.1f} times as many"
        )


@dataclass(frozen=True)
class Tail:
    """The rest of the network: patch by patch."""

    module: nn.Module
    #: It takes (N, C), not (N, C, h, w).
    is_flat: bool


class ZonedNet(nn.Module):
    """Scores every `stride`-th patch of an image, called like DenseNet."""

    def __init__(self, graph: Graph, tail: Tail, *, stride: int, estimate: ZoneEstimate, widest: int) -> None:
        super().__init__()
        self.graph = graph
        self.tail, self.is_flat = tail.module, tail.is_flat
        self.patch_size = graph.patch_size
        self.stride = stride
        self.estimate = estimate
        self.form = "zones"
        self.layers = nn.ModuleList(node.layer for node in graph.nodes if node.layer is not None)
        self.spans = _plan(graph, stride)
        #: Patches along each axis that are scored at once.
        self.block = max(1, math.isqrt(_BLOCK_VALUES // widest))
        #: Memory that a block takes, in float32.
        self.block_bytes = _HELD_LAYERS * 4 * max(_BLOCK_VALUES, widest)

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) -> (N, classes, rows, cols), or several heads of that form."""
        rows, cols = count_positions(images, self.patch_size, self.stride)
        heads: Heads | None = None
        bands = []
        for top in range(0, rows, self.block):
            band = []
            for left in range(0, cols, self.block):
                axes = self._axis(rows - top), self._axis(cols - left)
                scores, heads = self._score_block(self._read(images, top, left, axes), axes)
                band.append(scores)
            bands.append(torch.cat(band, dim=3))
        joined = torch.cat(bands, dim=2)
        return joined if heads is None else heads.split(joined)

    def _axis(self, left_over: int) -> Axis:
        return Axis(min(self.block, left_over), self.stride)

    def _read(self, images: Tensor, top: int, left: int, axes: tuple[Axis, Axis]) -> Tensor:
        """The part of the image that a block of patches covers."""
        for dim, (first, axis) in enumerate(zip((top, left), axes, strict=True)):
            length = (axis.count - 1) * axis.stride + shape_of_patch(self.patch_size)[dim]
            images = images.narrow(2 + dim, first * axis.stride, length)
        return images

    def _score_block(self, image: Tensor, axes: tuple[Axis, Axis]) -> tuple[Tensor, Heads | None]:
        regions = self._run_zones(image, axes)
        whole = Block(0, regions.rows.extent), Block(0, regions.cols.extent)
        step = max(1, _BATCH // axes[1].count)  # rows of patches
        answers, heads = [], None
        for first in range(0, axes[0].count, step):
            rows = Axis(min(step, axes[0].count - first), self.stride)
            patches = cut(later_rows(regions, first, axes[0]), whole, (rows, axes[1]))  # (N, Y, X, h, w, C)
            batch = patches.flatten(0, 2).permute(0, 3, 1, 2)
            outputs = [self.tail(part.flatten(1) if self.is_flat else part) for part in torch.split(batch, _BATCH)]
            heads = heads or Heads.of(outputs[0])
            scores = torch.cat([join_heads(output).flatten(1) for output in outputs])
            answers.append(scores.view(*patches.shape[:3], -1))
        return torch.cat(answers, dim=1).permute(0, 3, 1, 2), heads

    def _run_zones(self, image: Tensor, axes: tuple[Axis, Axis]) -> Regions:
        values: dict[int, Regions] = {0: image_regions(image, self.spans[0].rows, self.spans[0].cols)}
        for index, node in enumerate(self.graph.nodes[1:], start=1):
            sources, spans = [values[source] for source in node.inputs], self.spans[index]
            if spans.rows is ONE_ELEMENT:
                values[index] = run_closing(node, sources[0], axes)
            elif node.slides:
                values[index] = run_window(node, sources[0], spans, axes)
            else:
                values[index] = run_pointwise(node, sources, spans, axes)
            for source in set(node.inputs):
                if self.graph.last_use[source] == index:
                    del values[source]
        return values[len(self.graph.nodes) - 1]


def zone(net: nn.Module, patch_size: PatchSize, stride: int = 1) -> ZonedNet:
    """Turn a padded patch classifier into a network that scores every patch, by zones as far as that is cheaper.

    Parameters
    ----------
    net : nn.Module
        (N, C, P, P) -> (N, classes), in eval mode.
    patch_size : int, or (rows, cols)
        P, in pixels.
    stride : int
        Distance of two scored patches, in pixels.

    Raises
    ------
    InexactLayerError
        No layer can run by zones; names the first.
    """
    leading = lead(net, patch_size, stride)
    places = cut_places(leading)
    if len(leading.nodes) < 2 or not places:
        raise InexactLayerError(_first_layer(leading), "no layer before it can be shared between patches by zones")
    axes = Axis(_TYPICAL, stride), Axis(_TYPICAL, stride)
    costs = head_costs(leading.nodes, leading.spans, leading.channels, axes)
    place = min(places, key=lambda node: _effort(leading, costs, node))
    estimate = _estimate(leading, costs, place)
    last = leading.positions[place]
    widest = max(_values_held(leading, index) for index in range(last + 1))
    tail = Tail(tail_module(leading.recording, place), leading.recording.values[place].dim() == 2)
    graph = fuse_graph(head_graph(leading, place, patch_size))
    zoned = ZonedNet(graph, tail, stride=stride, estimate=estimate, widest=widest).eval()
    check_conversion(net, zoned)
    return zoned


def _estimate(leading: Leading, costs: list[Cost], place: fx.Node) -> ZoneEstimate:
    head = sum(costs[: leading.positions[place] + 1], Cost(0.0, 0.0))
    value = leading.recording.values[place]
    gathered = Cost(0.0, value[0].numel())
    tail = Cost(*patch_cost(leading.recording, place))
    image = leading.recording.values[next(iter(leading.recording.module.graph.nodes))]
    alone = Cost(*patch_cost(leading.recording)) + Cost(0.0, image[0].numel())
    return ZoneEstimate(describe_place(place), head + gathered + tail, alone)


def _effort(leading: Leading, costs: list[Cost], place: fx.Node) -> float:
    return _estimate(leading, costs, place).zones.effort


def _values_held(leading: Leading, index: int) -> int:
    """Values a patch of one layer's regions, when patches are as close as their stride: four corners above all."""
    rows, cols = leading.spans[index].rows, leading.spans[index].cols
    return (rows.before + rows.after + 1) * (cols.before + cols.after + 1) * leading.channels[index]


def _first_layer(leading: Leading) -> str:
    nodes = [node for node in leading.recording.module.graph.nodes if node.op not in {"placeholder", "get_attr"}]
    return describe_place(nodes[0])


def _plan(graph: Graph, stride: int) -> list[Spans]:
    spans = [spans_of_image(shape_of_patch(graph.patch_size))]
    for node in graph.nodes[1:]:
        spans.append(spans_after(node, [spans[source] for source in node.inputs], stride))
    return spans
