"""From an nn.Module to a Graph: follow one patch through the classifier and name what each layer does.

The classifier is traced by torch.fx and run once on a batch of two patches, so that every size is known; whatever
it computes from sizes alone (reshapes, crops) is then a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from scanner.dense.graph import Graph, GraphNode
from scanner.dense.plan import Node, Window
from scanner.errors import InexactLayerError

_PROBE_PATCHES = 2


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


Converter = Callable[[Call, "Tracer"], Traced]


class Tracer:
    """Builds the graph node by node; converters look shapes up here."""

    def __init__(self, patch_size: int, *, trainable: bool) -> None:
        self.trainable = trainable
        self.patch_size = patch_size
        self.nodes: list[GraphNode] = []
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
        self.nodes.append(GraphNode(rows, cols, traced.layer, slides=traced.windows is not None))
        return len(self.nodes) - 1


def trace_classifier(net: nn.Module, patch_size: int, convert: Converter, *, trainable: bool = False) -> Graph:
    """The graph of a patch classifier.

    Parameters
    ----------
    net : nn.Module
        (N, C, P, P) -> (N, classes).
    patch_size : int
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
    traced = _symbolic_trace(net)
    probe = _probe(net, patch_size)
    tracer = Tracer(patch_size, trainable=trainable)
    image = Node("image", (), extent=patch_size)
    tracer.nodes.append(GraphNode(image, image, None))
    values, positions = _run_probe(traced, probe), {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            positions[node] = 0
        elif node.op == "output":
            return _finish(tracer, node, values, positions)
        elif not any(source in positions for source in node.all_input_nodes) or _is_size(node):
            continue  # a parameter, or a size: the same for every patch
        elif isinstance(values[node], Tensor):
            positions[node] = _trace_node(node, values, positions, tracer, convert)
        else:
            raise InexactLayerError(_qualified_name(node), "it returns something other than one tensor")
    raise AssertionError("a traced graph ends with its output")


def _trace_node(
    node: fx.Node, values: dict[fx.Node, Any], positions: dict[fx.Node, int], tracer: Tracer, convert: Converter
) -> int:
    name = _qualified_name(node)

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


def _is_size(node: fx.Node) -> bool:
    """True for what depends on a tensor's shape alone."""
    if node.op == "call_method":
        return node.target in {"size", "dim", "numel", "ndimension"}
    return (
        node.op == "call_function" and node.target is getattr and node.args[1] in {"shape", "ndim", "dtype", "device"}
    )


def _finish(tracer: Tracer, node: fx.Node, values: dict[fx.Node, Any], positions: dict[fx.Node, int]) -> Graph:
    result = node.args[0]
    if not isinstance(result, fx.Node) or result not in positions:
        raise InexactLayerError("output", "the classifier must return one tensor that depends on the patch")
    index = positions[result]
    if tracer.extent(index) != (1, 1):
        raise InexactLayerError(
            "output", f"one answer per patch is needed, the classifier returns {tuple(values[result].shape[1:])}"
        )
    del tracer.nodes[index + 1 :]
    return Graph(tuple(_reachable(tracer.nodes, index)), tracer.patch_size)


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
    return [GraphNode(renumbered(n.rows), renumbered(n.cols), n.layer, n.slides) for n in kept]


def _symbolic_trace(net: nn.Module) -> fx.GraphModule:
    try:
        # torch.fx looks inside the module it is given: a single torch layer is traced as a chain of one.
        root = nn.Sequential(net) if isinstance(net, _LEAVES) else net
        return fx.GraphModule(root, _LeafTracer().trace(root))
    except (fx.proxy.TraceError, TypeError, RuntimeError, AttributeError) as error:
        raise InexactLayerError(type(net).__name__, f"its forward cannot be traced by torch.fx: {error}") from error


class _LeafTracer(fx.Tracer):
    """Modules of torch are leaves even if parametrised or subclassed trivially."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or isinstance(m, _LEAVES)


_LEAVES = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def _probe(net: nn.Module, patch_size: int) -> Tensor:
    parameter = next(net.parameters(), torch.zeros(()))
    channels = next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    if channels is None:
        linear = next((m.in_features for m in net.modules() if isinstance(m, nn.Linear)), patch_size**2 * 3)
        channels = max(1, linear // patch_size**2)
    shape = (_PROBE_PATCHES, channels, patch_size, patch_size)
    # Not constant: a layer that divides by a spread must not divide by zero.
    values = torch.linspace(-1, 1, channels * patch_size**2 * _PROBE_PATCHES)
    return values.view(shape).to(device=parameter.device, dtype=parameter.dtype)


class _Recorder(fx.Interpreter):
    """Runs the graph and keeps every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        try:
            self.values[n] = super().run_node(n)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error).split("\n")[0]
            raise InexactLayerError(_qualified_name(n), f"it fails on a patch of this size: {reason}") from error
        return self.values[n]


def _run_probe(traced: fx.GraphModule, probe: Tensor) -> dict[fx.Node, Any]:
    recorder = _Recorder(traced)
    with torch.no_grad():
        recorder.run(probe)
    return recorder.values


def _qualified_name(node: fx.Node) -> str:
    """Name of the module that is called, or of the module whose forward calls this function."""
    if node.op == "call_module":
        return str(node.target)
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return f"{stack[-1][0]}.{target}" if stack else str(target)
