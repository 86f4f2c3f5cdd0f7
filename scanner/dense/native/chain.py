"""From a graph to the chain of units that the native kernel runs: its weights packed, its windows as plain integers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from scanner.dense.native.packing import (
    Rows,
    Shape,
    pack_interleaved,
    pack_matrix,
    pack_planar,
    pad_bias,
    slice_channels,
)
from scanner.dense.network.graph import Graph, Layout
from scanner.dense.network.layers import IDENTITY, Convolution, MaxPool, Pointwise


@dataclass(frozen=True)
class _Rates:
    """Share of the processor's peak that a convolution reaches, measured (docs/performance.md)."""

    planar: float
    #: Interleaved rows whose maps fill one vector, so that each input serves one addition.
    one_vector: float
    more_vectors: float


_AVX512_RATES, _AVX2_RATES = _Rates(0.85, 0.72, 0.92), _Rates(0.88, 0.55, 0.90)

#: What the native code computes with: sums are in float32 either way.
NUMBERS = (torch.float32, torch.bfloat16)

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
        ("pitch", ctypes.c_int32),
        ("taps_across", ctypes.c_int32),
        ("slices", ctypes.c_int32),
        ("slice", ctypes.c_int32),
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
        if isinstance(node.layer, Convolution) and node.layer.groups == 1 and node.layer.weight.dtype in NUMBERS:
            units.append((index, None))
        elif isinstance(node.layer, MaxPool) and units and units[-1][1] is None:
            units[-1] = (units[-1][0], index)
        elif not (isinstance(node.layer, Pointwise) and node.layer.label == IDENTITY):
            return None
    return units or None


def choose_rows(graph: Graph, layout: Layout, shape: Shape) -> tuple[Rows, str]:
    """The layout in float32 whose estimated time is shorter, and the estimate in words."""
    costs = dict.fromkeys((Rows.PLANAR, Rows.INTERLEAVED), 0.0)
    rates = _AVX512_RATES if shape.lanes == 16 else _AVX2_RATES  # Narrower ones were not measured.
    for node, rows, cols in zip(graph.nodes, layout.rows, layout.cols, strict=True):
        if not isinstance(node.layer, Convolution):
            continue
        maps = len(node.layer.weight)
        vectors = -(-maps // shape.lanes)
        per_map = node.layer.weight[0].numel() / (rows.grid * cols.grid)
        costs[Rows.PLANAR] += per_map * maps / rates.planar
        rate = rates.one_vector if vectors == 1 else rates.more_vectors
        costs[Rows.INTERLEAVED] += per_map * vectors * shape.lanes / rate
    chosen = min(costs, key=lambda rows: costs[rows])
    ratio = costs[Rows.INTERLEAVED] / costs[Rows.PLANAR]
    return chosen, f"{chosen} rows: maps in whole vectors of {shape.lanes} are estimated at {ratio:.2f} of planar rows"


def pack_chain(graph: Graph, layout: Layout, *, rows: Rows, shape: Shape) -> Chain | None:
    """The chain of `graph` in the dilated form; None if it is no chain of convolutions and max-poolings."""
    groups = group_units(graph)
    if groups is None:
        return None
    units = (Unit * len(groups))()
    kept: list[Tensor] = []
    for unit, (at, pool) in zip(units, groups, strict=True):
        layer = graph.nodes[at].layer
        assert isinstance(layer, Convolution)
        bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().float().clone()
        unit.maps, unit.channels = layer.weight.shape[:2]
        unit.activation = ACTIVATIONS[layer.activation]
        unit.rows, unit.columns = _windows(graph, layout, at)
        weights, bias = _pack(layer.weight.detach(), unit, rows, shape, is_first=not kept), pad_bias(bias, shape)
        kept += [weights, bias]
        unit.pool_rows, unit.pool_columns = (Window(1, 1, 1),) * 2 if pool is None else _windows(graph, layout, pool)
        unit.weights, unit.bias = weights.data_ptr(), bias.data_ptr()
    return Chain(units, tuple(kept), units[-1].maps)


def _pack(weight: Tensor, unit: Unit, rows: Rows, shape: Shape, *, is_first: bool) -> Tensor:
    """The weights as the layout wants them; what the matrix unit has to know beside them is written into `unit`."""
    if rows is not Rows.MATRIX:
        return (pack_interleaved if rows is Rows.INTERLEAVED else pack_planar)(weight, shape)
    # Layers write whole vectors of maps; the image is copied channel by channel, of which pairs are multiplied.
    unit_of_channels = 2 if is_first else shape.lanes
    whole = -(-unit.channels // unit_of_channels) * unit_of_channels
    slices = slice_channels(unit.channels, unit.columns.kernel, dilation=unit.columns.dilation, whole=whole)
    unit.pitch, unit.taps_across, unit.slices, unit.slice = slices.pitch, slices.across, slices.count, slices.length
    return pack_matrix(weight, slices, shape)


def _windows(graph: Graph, layout: Layout, index: int) -> tuple[Window, Window]:
    """Both axes of a layer's window, in values of its input map."""
    node, axes = graph.nodes[index], []
    for axis, places in ((node.rows, layout.rows), (node.cols, layout.cols)):
        source, target = places[node.inputs[0]], places[index]
        axes.append(Window(axis.window.kernel, axis.window.dilation * source.fragments, target.grid // source.grid))
    return axes[0], axes[1]
