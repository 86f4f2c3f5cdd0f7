"""Where a padded network can be cut in two: layers that run by zones, and the rest, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from scanner.dense.network.graph import Graph, GraphNode
from scanner.dense.network.plan import PatchSize, shape_of_patch
from scanner.dense.network.probe import Recording, qualified_name, record
from scanner.dense.network.trace import Tracer
from scanner.dense.zones.axis import ONE_ELEMENT, NoMiddleError
from scanner.dense.zones.padding import convert_padded
from scanner.dense.zones.run import Spans, spans_after, spans_of_image
from scanner.errors import InexactLayerError


@dataclass(frozen=True)
class Leading:
    """The layers from the first on that can run by zones."""

    recording: Recording
    nodes: tuple[GraphNode, ...]
    spans: tuple[Spans, ...]
    #: Channels of each.
    channels: tuple[int, ...]
    #: Where each traced operation is among the nodes.
    positions: dict[fx.Node, int]


def lead(net: nn.Module, patch_size: PatchSize, stride: int) -> Leading:
    """Follow the network until padding reaches everything, or a layer is not exact even by zones.

    Raises
    ------
    InexactLayerError
        The network cannot be traced at all.
    """
    shape = shape_of_patch(patch_size)
    recording = record(net, shape)
    tracer, spans = Tracer(shape), [spans_of_image(shape)]
    for node in recording.module.graph.nodes:
        if node.op == "output":
            break
        known = len(tracer.nodes)
        try:
            tracer.follow(node, recording, convert_padded)
            for new in tracer.nodes[len(spans) :]:
                spans.append(spans_after(new, [spans[source] for source in new.inputs], stride))
        except (InexactLayerError, NoMiddleError):
            del tracer.nodes[known:]
            tracer.positions.pop(node, None)
            break
        if spans[-1].rows is ONE_ELEMENT:
            break
    channels = {index: recording.values[node].shape[1] for node, index in tracer.positions.items()}
    counts = tuple(channels[index] for index in range(len(spans)))
    return Leading(recording, tuple(tracer.nodes), tuple(spans), counts, tracer.positions)


def cut_places(leading: Leading) -> list[fx.Node]:
    """Operations after which one tensor with rows and columns holds all that the rest of the network needs."""
    order = {node: place for place, node in enumerate(leading.recording.module.graph.nodes)}
    varying = _varying(leading.recording.module)
    last_use = {node: max((order[user] for user in node.users), default=0) for node in varying}
    places = []
    for node in leading.positions:
        place, value = order[node], leading.recording.values[node]
        alive = [other for other in varying if order[other] <= place < last_use[other]]
        is_closed = leading.spans[leading.positions[node]].rows is ONE_ELEMENT
        if alive == [node] and isinstance(value, Tensor) and (value.dim() == 4 or is_closed):
            places.append(node)
    return places


def _varying(module: fx.GraphModule) -> list[fx.Node]:
    """What depends on the patch, its size included."""
    found: dict[fx.Node, None] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder" or any(source in found for source in node.all_input_nodes):
            found[node] = None
    return list(found)


def head_graph(leading: Leading, place: fx.Node, patch_size: PatchSize) -> Graph:
    """The layers up to `place`."""
    return Graph(leading.nodes[: leading.positions[place] + 1], patch_size)


def tail_module(recording: Recording, place: fx.Node) -> fx.GraphModule:
    """The network from the value of `place` on."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {place: graph.placeholder("x")}

    def copied(node: fx.Node) -> fx.Node:
        if node not in copies:
            copies[node] = graph.node_copy(node, copied)
        return copies[node]

    nodes = list(recording.module.graph.nodes)
    varying = set(_varying(recording.module))
    for node in nodes[nodes.index(place) + 1 :]:
        if node.op == "output":
            graph.output(fx.map_arg(node.args[0], copied))
        elif node in varying:
            copied(node)
    return fx.GraphModule(recording.module, graph).eval()


def patch_cost(recording: Recording, after: fx.Node | None = None) -> tuple[float, float]:
    """FLOPs of the convolutions and linear layers, and values written, of one patch; from behind `after` on."""
    flops, values, counts = 0.0, 0.0, after is None
    for node in recording.module.graph.nodes:
        value = recording.values.get(node)
        if counts and isinstance(value, Tensor) and node.op not in {"placeholder", "get_attr"}:
            patches = value.shape[0]
            values += value.numel() / patches
            weight = _weight(node, recording)
            if weight is not None:
                flops += 2 * weight.numel() * value.numel() / patches / weight.shape[0]
        counts = counts or node is after
    return flops, values


def _weight(node: fx.Node, recording: Recording) -> Tensor | None:
    """Weights of a convolution or linear layer, called as a module or as a function."""
    if node.op == "call_module":
        layer = recording.module.get_submodule(str(node.target))
        return layer.weight if isinstance(layer, (nn.Conv2d, nn.Linear)) else None
    if getattr(node.target, "__name__", "") in {"conv2d", "linear"} and len(node.args) > 1:
        weight = recording.values.get(node.args[1])  # type: ignore[arg-type]
        return weight if isinstance(weight, torch.Tensor) else None
    return None


def describe_place(place: fx.Node) -> str:
    """Name of the layer."""
    return qualified_name(place)
