"""What the Triton kernels need to know of a chain of layers, in plain integers and packed weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scanner.dense.network.graph import Graph, Layout
from scanner.dense.network.layers import Convolution, Step

#: The numbers of `triton_kernels.activate`. All keep the order of two values, so that a maximum may come before them.
ACTIVATIONS = {"none": 0, "tanh": 1, "relu": 2, "sigmoid": 3}
#: Tensor cores multiply blocks of at least so many.
_LEAST_BLOCK = 16
#: Values of a run that are multiplied at once, at most: they wait in registers.
_MOST_RUN = 32
#: More maps than this do not fit a program's registers.
MOST_MAPS = 256
_ONE = Step(1, 1)


@dataclass(frozen=True)
class UnitPlan:
    """A convolution and the max-pooling behind it, in values of the convolution's input map."""

    #: Position of the convolution in the graph.
    index: int
    kernel: Step
    #: Between two values under the convolution's window.
    dilation: Step
    #: Between two outputs of the convolution.
    stride: Step
    #: Window of the pooling, in outputs of the convolution; 1 x 1 if there is none.
    pool: Step = _ONE
    pool_dilation: Step = _ONE
    pool_stride: Step = _ONE

    @property
    def step(self) -> Step:
        """Between two outputs of the unit."""
        return Step(self.stride.rows * self.pool_stride.rows, self.stride.cols * self.pool_stride.cols)

    @property
    def row_gap(self) -> int:
        """Outputs between two that share a row of the pooling's window; 0 if none do."""
        is_pair = self.pool.rows == 2 and self.pool_dilation.rows % self.pool_stride.rows == 0
        return self.pool_dilation.rows // self.pool_stride.rows if is_pair else 0

    def output(self, size: Step) -> Step:
        """Rows and columns that come out of an input of that size."""
        lengths = []
        for axis in (0, 1):
            inner = (size[axis] - (self.kernel[axis] - 1) * self.dilation[axis] - 1) // self.stride[axis] + 1
            reach = (self.pool[axis] - 1) * self.pool_dilation[axis] + 1
            lengths.append((inner - reach) // self.pool_stride[axis] + 1)
        return Step(*lengths)


def plan_unit(graph: Graph, layout: Layout, index: int, pool: int | None) -> UnitPlan:
    """The unit of a convolution and of the pooling behind it, by their positions in the graph."""
    kernel, dilation, stride = _window(graph, layout, index)
    if pool is None:
        return UnitPlan(index, kernel, dilation, stride)
    return UnitPlan(index, kernel, dilation, stride, *_window(graph, layout, pool))


def _window(graph: Graph, layout: Layout, index: int) -> tuple[Step, Step, Step]:
    """Kernel, dilation and stride of a layer in the dilated form, in values of its input map."""
    axes = []
    for node, places in ((graph.nodes[index].rows, layout.rows), (graph.nodes[index].cols, layout.cols)):
        source, target = places[node.inputs[0]], places[index]
        axes.append((node.window.kernel, node.window.dilation * source.fragments, target.grid // source.grid))
    kernel, dilation, stride = (Step(*pair) for pair in zip(*axes, strict=True))
    return kernel, dilation, stride


@dataclass(frozen=True)
class Runs:
    """How the values under a window lie in memory."""

    #: Where each block of a run begins, in values behind the window's first.
    offsets: tuple[int, ...]
    #: Values of a block that count, and values that it is filled up to.
    length: int
    block: int
    #: Divides all offsets.
    aligned: int


def plan_runs(unit: UnitPlan, channels: int, row_pitch: int) -> Runs:
    """The runs of a window over a map that lies channels last, its rows `row_pitch` values apart."""
    is_joined = unit.dilation.cols == 1
    run = unit.kernel.cols * channels if is_joined else channels
    starts = [
        row * unit.dilation.rows * row_pitch + (0 if is_joined else col * unit.dilation.cols * channels)
        for row in range(unit.kernel.rows)
        for col in range(1 if is_joined else unit.kernel.cols)
    ]
    length = largest_part(run)
    offsets = tuple(start + part for start in starts for part in range(0, run, length))
    block = max(_LEAST_BLOCK, next_power(length))
    return Runs(offsets, length, block, math.gcd(_LEAST_BLOCK, *offsets))


def largest_part(run: int) -> int:
    """The largest length, at most _MOST_RUN, that a run can be cut into without a rest."""
    return next(length for length in range(min(run, _MOST_RUN), 0, -1) if run % length == 0)


def next_power(value: int) -> int:
    """The smallest power of two that is not smaller."""
    return 1 << (value - 1).bit_length()


@dataclass(frozen=True)
class Packed:
    """A convolution's numbers as the kernels read them."""

    #: (blocks of runs * block, maps): zeros where a block or the maps are filled up.
    weights: Tensor
    #: (maps,), float32.
    bias: Tensor
    maps: int
    maps_block: int


def pack_convolution(layer: Convolution, runs: Runs) -> Packed:
    """Weights in the order of the runs, on the layer's device and in its type."""
    weight = layer.weight.detach()
    maps = weight.shape[0]
    maps_block = max(_LEAST_BLOCK, next_power(maps))
    # (rows, cols, channels) is the order of the runs, whether a run is a pixel or a row of the kernel.
    taps = weight.permute(2, 3, 1, 0).reshape(len(runs.offsets), runs.length, maps)
    packed = taps.new_zeros((len(runs.offsets), runs.block, maps_block))
    packed[:, : runs.length, :maps] = taps
    bias = torch.zeros(maps_block, dtype=torch.float32, device=weight.device)
    if layer.bias is not None:
        bias[:maps] = layer.bias.detach()
    return Packed(packed.view(-1, maps_block), bias, maps, maps_block)
