"""From a graph to the chain of units that the native kernel runs: its weights packed, its windows as plain integers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from scanner.dense.graph import Graph, Layout
from scanner.dense.layers import IDENTITY, Convolution, MaxPool, Pointwise

#: The numbers of vector.hpp.
ACTIVATIONS = {"none": 0, "tanh": 1, "relu": 2, "sigmoid": 3}
#: Rows and columns of a window that the native code has room for.
_MAX_KERNEL = 64


class Window(ctypes.Structure):
    """One axis of a sliding window, as in stream.cpp."""

    _fields_ = (("kernel", ctypes.c_int32), ("dilation", ctypes.c_int32), ("stride", ctypes.c_int32))


class Unit(ctypes.Structure):
    """A convolution, a pooling and an activation, as in stream.cpp."""

    _fields_ = (
        ("channels", ctypes.c_int32),
        ("maps", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("rows", Window),
        ("columns", Window),
        ("pool_rows", Window),
        ("pool_columns", Window),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Chain:
    """The units of a graph, and the arrays that they point to."""

    units: ctypes.Array[Unit]
    kept: tuple[Tensor, ...]
    classes: int


def group_units(graph: Graph) -> list[tuple[int, int | None]] | None:
    """Positions of each convolution and of the pooling behind it; None if the graph is no such chain."""
    units: list[tuple[int, int | None]] = []
    for index, node in enumerate(graph.nodes[1:], start=1):
        if node.inputs != (index - 1,) or max(node.rows.window.kernel, node.cols.window.kernel) > _MAX_KERNEL:
            return None
        if isinstance(node.layer, Convolution) and node.layer.groups == 1 and node.layer.weight.dtype == torch.float32:
            units.append((index, None))
        elif isinstance(node.layer, MaxPool) and units and units[-1][1] is None:
            units[-1] = (units[-1][0], index)
        elif not (isinstance(node.layer, Pointwise) and node.layer.label == IDENTITY):
            return None
    return units or None


def pack_chain(graph: Graph, layout: Layout, maps_per_block: int) -> Chain | None:
    """The chain of `graph` in the dilated form; None if it is no chain of convolutions and max-poolings."""
    groups = group_units(graph)
    if groups is None:
        return None
    units, kept = (Unit * len(groups))(), []
    for unit, (at, pool) in zip(units, groups, strict=True):
        layer = graph.nodes[at].layer
        assert isinstance(layer, Convolution)
        weights = pack_weights(layer.weight.detach(), maps_per_block)
        bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().clone()
        kept += [weights, bias]
        unit.maps, unit.channels = layer.weight.shape[:2]
        unit.activation = ACTIVATIONS[layer.activation]
        unit.rows, unit.columns = _windows(graph, layout, at)
        unit.pool_rows, unit.pool_columns = (Window(1, 1, 1),) * 2 if pool is None else _windows(graph, layout, pool)
        unit.weights, unit.bias = weights.data_ptr(), bias.data_ptr()
    return Chain(units, tuple(kept), units[-1].maps)


def pack_weights(weight: Tensor, maps_per_block: int) -> Tensor:
    """(maps, channels, rows, cols) -> blocks of maps, each (rows, cols, channels, maps of the block), as one vector."""
    maps, channels, rows, cols = weight.shape
    taps = weight.permute(2, 3, 1, 0).reshape(rows * cols * channels, maps)
    blocks = [taps[:, first : first + maps_per_block].flatten() for first in range(0, maps, maps_per_block)]
    return torch.cat(blocks)


def _windows(graph: Graph, layout: Layout, index: int) -> tuple[Window, Window]:
    """Both axes of a layer's window, in values of its input map."""
    node, axes = graph.nodes[index], []
    for axis, places in ((node.rows, layout.rows), (node.cols, layout.cols)):
        source, target = places[node.inputs[0]], places[index]
        axes.append(Window(axis.window.kernel, axis.window.dilation * source.fragments, target.grid // source.grid))
    return axes[0], axes[1]
