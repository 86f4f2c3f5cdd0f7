"""The dense net as a graph: integers for each axis, and the layer that each node runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from scanner.dense.network.layers import Convolution, Step
from scanner.dense.network.plan import (
    GridConflictError,
    MisalignedError,
    Node,
    PatchSize,
    Placement,
    place_nodes,
    shape_of_patch,
)
from scanner.errors import InexactLayerError


@dataclass(frozen=True)
class Padding:
    """Pixels invented around the patch before a window slides over it: inexact but by zones (`scanner.dense.zones`)."""

    #: Before and after, along the rows and along the columns.
    rows: tuple[int, int]
    cols: tuple[int, int]
    fill: float = 0.0


@dataclass(frozen=True)
class GraphNode:
    """One layer: its arithmetic along both axes and what it computes. `layer` is None for the image."""

    rows: Node
    cols: Node
    layer: nn.Module | None
    #: True if a window slides (convolution, pooling, crop); False if each pixel stands alone.
    slides: bool = False
    #: None in every dense net.
    padding: Padding | None = None

    @property
    def name(self) -> str:
        """Qualified name of the layer in the classifier."""
        return self.rows.name

    @property
    def inputs(self) -> tuple[int, ...]:
        """Positions of the inputs in the graph."""
        return self.rows.inputs


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of computation; the last is the output."""

    nodes: tuple[GraphNode, ...]
    patch_size: PatchSize
    #: Position in `nodes` of each node's last user, after which its values can be dropped.
    last_use: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Count the uses."""
        uses = list(range(len(self.nodes)))
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                uses[source] = max(uses[source], index)
        object.__setattr__(self, "last_use", tuple(uses))

    @property
    def rows(self) -> list[Node]:
        """The plan's nodes along the rows."""
        return [node.rows for node in self.nodes]

    @property
    def cols(self) -> list[Node]:
        """The plan's nodes along the columns."""
        return [node.cols for node in self.nodes]

    def flops_per_output(self, stride: int = 1) -> float:
        """Floating-point operations of the convolutions (2 per multiply-add) for one dense output pixel."""
        layout = Layout.of(self, stride)
        total = 0.0
        for node, rows, cols in zip(self.nodes, layout.rows, layout.cols, strict=True):
            weight = convolution_weight(node.layer)
            if weight is not None:
                total += 2 * weight.numel() * stride * stride / (rows.grid * cols.grid)
        return total


def convolution_weight(layer: nn.Module | None) -> Tensor | None:
    """The weights of a convolution, shared or own; None for every other layer."""
    if isinstance(layer, Convolution):
        return layer.weight
    shared = getattr(layer, "layer", None)
    return shared.weight if isinstance(shared, (nn.Conv2d, nn.Linear)) else None


@dataclass(frozen=True)
class Layout:
    """Where every node lies along both axes, for one output stride."""

    rows: tuple[Placement, ...]
    cols: tuple[Placement, ...]
    #: Every how many computed outputs, per axis, are wanted: > 1 where q divides no leading strides.
    remainder: Step

    @staticmethod
    def of(graph: Graph, stride: int) -> Layout:
        """Plan both axes; where branches disagree about a thinned grid, none is thinned."""
        lengths = shape_of_patch(graph.patch_size)
        axes = [_place(nodes, length, stride) for nodes, length in zip((graph.rows, graph.cols), lengths, strict=True)]
        remainder = Step(*(stride // placements[-1].grid for placements in axes))
        return Layout(tuple(axes[0]), tuple(axes[1]), remainder)


def _place(nodes: list[Node], patch_length: int, stride: int) -> list[Placement]:
    try:
        return place_nodes(nodes, patch_length, stride)
    except GridConflictError:
        return place_nodes(nodes, patch_length, 1)
    except MisalignedError as error:
        name, _, reason = str(error).partition(": ")
        raise InexactLayerError(name, f"branches meet whose {reason}") from error


def run_graph(graph: Graph, image: Tensor, apply: object) -> Tensor:
    """Run the nodes in order, dropping values after their last use; `apply(index, inputs)` runs one."""
    assert callable(apply)
    values: dict[int, Tensor] = {0: image}
    for index, node in enumerate(graph.nodes[1:], start=1):
        values[index] = apply(index, [values[source] for source in node.inputs])
        for source in set(node.inputs):
            if graph.last_use[source] == index:
                del values[source]
    return values[len(graph.nodes) - 1]
