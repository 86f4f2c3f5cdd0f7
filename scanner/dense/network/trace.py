"""From an nn.Module to a Graph: follow one patch through the classifier and name what each layer does.

The classifier is traced by torch.fx and run once on a batch of two patches, so that every size is known; whatever
it computes from sizes alone (reshapes, crops) is then a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx, nn

from scanner.dense.network.graph import Graph, GraphNode, Padding
from scanner.dense.network.heads import Heads, join_heads
from scanner.dense.network.layers import Pointwise
from scanner.dense.network.plan import Node, PatchSize, Window, shape_of_patch
from scanner.dense.network.probe import Recording, qualified_name, record
from scanner.errors import InexactLayerError


@dataclass(frozen=True)
class Source:
    """An argument that is another node's output."""

    index: int
    #: Shape for the probing patches, (2, C, h, w) or (2, features).
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One traced operation, with the values that it had for the probing patches."""

    #: Qualified name of the layer, or of the function within its module.
    name: str
    #: The module, function or method name that is called.
    target: Any
    #: Arguments, tensors of the graph replaced by `Source`.
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: What it returned for the probing patches.
    value: Any

    @property
    def sources(self) -> list[Source]:
        """The arguments that are other nodes' outputs, in order, those in lists last."""
        values = (*self.args, *self.kwargs.values())
        nested = [item for value in values if isinstance(value, (list, tuple)) for item in value]
        return [value for value in (*values, *nested) if isinstance(value, Source)]

    @property
    def source(self) -> Source:
        """The one argument that is another node's output."""
        if len(self.sources) != 1:
            raise InexactLayerError(self.name, f"it takes {len(self.sources)} inputs that depend on the patch")
        return self.sources[0]


@dataclass(frozen=True)
class Traced:
    """What a converter returns: a layer and the windows with which it slides (None: pointwise)."""

    layer: nn.Module
    windows: tuple[Window, Window] | None = None
    #: Rows and columns cut off before the window.
    offsets: tuple[int, int] = (0, 0)
    #: The inputs used, if not all sources of the call in order.
    inputs: tuple[int, ...] | None = None
    #: Pixels invented around the patch before the window slides.
    padding: Padding | None = None


Converter = Callable[[Call, "Tracer"], Traced]


class Tracer:
    """Builds the graph node by node; converters look shapes up here."""

    def __init__(self, patch_shape: tuple[int, int], *, trainable: bool = False) -> None:
        self.trainable = trainable
        rows, cols = (Node("image", (), extent=length) for length in patch_shape)
        self.nodes: list[GraphNode] = [GraphNode(rows, cols, None)]
        #: Position in `nodes` of every traced operation that depends on the patch.
        self.positions: dict[fx.Node, int] = {}
        #: Flattened nodes: (C, h, w) before the flattening.
        self.flattened: dict[int, tuple[int, int, int]] = {}

    def extent(self, index: int) -> tuple[int, int]:
        """Rows and columns per patch of a node."""
        return self.nodes[index].rows.extent, self.nodes[index].cols.extent

    def need_spatial(self, call: Call) -> None:
        """Refuse a layer that needs rows and columns where there are none."""
        if len(call.source.shape) != 4 or call.source.index in self.flattened:
            raise InexactLayerError(call.name, "it needs a patch with rows and columns, but follows a flattening")

    def add(self, name: str, traced: Traced, sources: tuple[int, ...], extent: tuple[int, int]) -> int:
        """Append a node; returns its position."""
        inputs = traced.inputs or sources
        windows = traced.windows or (Window(), Window())
        rows = Node(name, inputs, windows[0], traced.offsets[0], extent[0])
        cols = Node(name, inputs, windows[1], traced.offsets[1], extent[1])
        slides = traced.windows is not None
        self.nodes.append(GraphNode(rows, cols, traced.layer, slides=slides, padding=traced.padding))
        return len(self.nodes) - 1

    def follow(self, node: fx.Node, recording: Recording, convert: Converter) -> None:
        """Append what `node` becomes, unless it is the same for every patch."""
        if node.op == "placeholder":
            self.positions[node] = 0
        elif not any(source in self.positions for source in node.all_input_nodes) or is_size(node):
            return  # a parameter, or a size: the same for every patch
        elif isinstance(recording.values[node], Tensor):
            self.positions[node] = _trace_node(node, recording.values, self.positions, self, convert)
        else:
            raise InexactLayerError(qualified_name(node), "it returns something other than one tensor")


def trace_classifier(
    net: nn.Module, patch_size: PatchSize, convert: Converter, *, trainable: bool = False
) -> tuple[Graph, Heads]:
    """The graph of a patch classifier, and what its outputs are.

    Parameters
    ----------
    net : nn.Module
        (N, C, P, P) -> (N, classes), or several of these in a tuple, list or dict.
    patch_size : int, or (rows, cols)
        P.
    convert : callable
        Turns one Call into a layer, or raises InexactLayerError.
    trainable : bool
        Keep the classifier's own parameters, unfused, so that gradients reach them.

    Raises
    ------
    InexactLayerError
        A layer cannot be made dense exactly, or the classifier cannot be traced.
    """
    recording = record(net, shape_of_patch(patch_size))
    tracer = Tracer(shape_of_patch(patch_size), trainable=trainable)
    *layers, output = recording.module.graph.nodes
    for node in layers:
        tracer.follow(node, recording, convert)
    index, heads = _finish(tracer, output, recording)
    return Graph(tuple(_reachable(tracer.nodes, index)), patch_size), heads


def _trace_node(
    node: fx.Node, values: dict[fx.Node, Any], positions: dict[fx.Node, int], tracer: Tracer, convert: Converter
) -> int:
    name = qualified_name(node)

    def argument(source: fx.Node) -> Any:
        if source in positions:
            return Source(positions[source], tuple(values[source].shape))
        return values[source]  # a size or a parameter: the same for every patch

    target = _called(node)
    args = fx.map_arg(node.args, argument)
    kwargs = fx.map_arg(node.kwargs, argument)
    call = Call(name, target, tuple(args), dict(kwargs), values[node])
    sources = tuple(positions[source] for source in node.all_input_nodes if source in positions)
    traced = convert(call, tracer)
    shape = values[node].shape
    flat = tracer.flattened.get(sources[0])
    is_flat = len(shape) == 2 and traced.windows is None and flat is not None
    extent = (int(shape[2]), int(shape[3])) if len(shape) == 4 else tracer.extent(sources[0]) if is_flat else (1, 1)
    index = tracer.add(name, traced, sources, extent)
    if is_flat and flat is not None:
        tracer.flattened[index] = flat
    return index


def _called(node: fx.Node) -> Any:
    """The module, function or method name that the node calls."""
    if node.op != "call_module":
        return node.target
    root = node.graph.owning_module
    assert root is not None
    return root.get_submodule(str(node.target))


def is_size(node: fx.Node) -> bool:
    """True for what depends on a tensor's shape alone."""
    if node.op == "call_method":
        return node.target in {"size", "dim", "numel", "ndimension"}
    return (
        node.op == "call_function" and node.target is getattr and node.args[1] in {"shape", "ndim", "dtype", "device"}
    )


def _finish(tracer: Tracer, output: fx.Node, recording: Recording) -> tuple[int, Heads]:
    """Position of the answer, all heads joined along their channels."""
    heads = Heads.of(fx.map_arg(output.args[0], lambda node: recording.values[node]))
    results = list(output.all_input_nodes)
    if not results or any(result not in tracer.positions for result in results):
        raise InexactLayerError("output", "the classifier must return tensors that depend on the patch")
    for result in results:
        if tracer.extent(tracer.positions[result]) != (1, 1):
            shape = tuple(recording.values[result].shape[1:])
            raise InexactLayerError("output", f"one answer per patch is needed, the classifier returns {shape}")
    if heads.keys is None:
        return tracer.positions[results[0]], heads
    order = tuple(tracer.positions[node] for node in _leaves(output.args[0]))
    joined = Traced(Pointwise(lambda *scores: join_heads(list(scores))), inputs=order)
    return tracer.add("output", joined, order, (1, 1)), heads


def _leaves(result: Any) -> list[fx.Node]:
    """The heads' nodes, in order; one that is returned twice is named twice."""
    return list(result.values() if isinstance(result, dict) else result)


def _reachable(nodes: list[GraphNode], last: int) -> list[GraphNode]:
    """The nodes that the output depends on, renumbered."""
    needed = {0, last}
    for index in range(last, -1, -1):
        if index in needed:
            needed.update(nodes[index].inputs)
    number = {old: new for new, old in enumerate(sorted(needed))}

    def renumbered(node: Node) -> Node:
        return Node(node.name, tuple(number[i] for i in node.inputs), node.window, node.offset, node.extent)

    kept = [nodes[old] for old in sorted(needed)]
    return [replace(n, rows=renumbered(n.rows), cols=renumbered(n.cols)) for n in kept]
