"""The Triton form: the dilated form, each convolution with its pooling and activation in one kernel; for GPUs."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scanner.dense.gpu.triton_units import (
    ACTIVATIONS,
    MOST_MAPS,
    Packed,
    Runs,
    UnitPlan,
    pack_convolution,
    plan_runs,
    plan_unit,
)
from scanner.dense.native.chain import group_units
from scanner.dense.network.graph import Graph, Layout
from scanner.dense.network.layers import Convolution, Step

#: Types that tensor cores multiply, or that are multiplied in full.
DTYPES = (torch.float32, torch.bfloat16)
#: Classes that the head's program adds up one after the other.
_MOST_CLASSES = 16


class TritonUnavailableError(Exception):
    """There is no Triton form; the message says why."""


@dataclass(frozen=True)
class TritonTuning:
    """How the work is shared out; the scores are the same."""

    #: Neighbouring outputs of one program of a layer, and of the head.
    block: int = 64
    head_block: int = 128
    #: Rows of outputs that one program works on, one after the other.
    rows: int = 8
    warps: int = 4
    #: Loads under way at once.
    stages: int = 3


class TritonChain:
    """A graph made ready for the Triton kernels.

    Raises
    ------
    TritonUnavailableError
        The triton package is not installed, or the graph is no chain that the kernels can run.
    """

    def __init__(self, graph: Graph, layout: Layout, tuning: TritonTuning | None = None) -> None:
        if importlib.util.find_spec("triton") is None:
            raise TritonUnavailableError("the triton package is not installed")
        groups = group_units(graph)
        if groups is None:
            raise TritonUnavailableError("the network is no chain of convolutions and max-poolings")
        self.graph = graph
        self.units = [plan_unit(graph, layout, *group) for group in groups]
        self.has_head = self._find_head()
        if any(self._layer(unit).weight.shape[0] > MOST_MAPS for unit in self.units):
            raise TritonUnavailableError(f"a layer has more than {MOST_MAPS} maps")
        self.tuning = tuning or TritonTuning()
        self._ready: dict[Any, tuple[Runs, Tensor, Packed]] = {}
        self._classes: dict[Any, tuple[Tensor, Tensor]] = {}

    @staticmethod
    def takes(images: Tensor) -> bool:
        """True for what the kernels can work on: few bits or float32, on a GPU or in Triton's interpreter."""
        wants_gradient = images.requires_grad and torch.is_grad_enabled()
        on_device = images.device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
        return on_device and images.dtype in DTYPES and not wants_gradient

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, h, w) of their type; raises whatever Triton does where it cannot compile."""
        values = images.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C): nothing moves if they lie channels last
        layers = self.units[:-2] if self.has_head else self.units
        for number in range(len(layers)):
            values = self.run_unit(number, values)
        if self.has_head:
            return self._run_head(values).to(images.dtype)
        return values.permute(0, 3, 1, 2)

    def _layer(self, unit: UnitPlan) -> Convolution:
        layer = self.graph.nodes[unit.index].layer
        assert isinstance(layer, Convolution)
        return layer

    def _find_head(self) -> bool:
        """True if the last unit is a product per pixel of the hidden layer before it, for few classes."""
        if len(self.units) < 2:
            return False
        hidden, last = self.units[-2:]
        classes = self._layer(last).weight.shape[0]
        is_pixelwise = last.kernel == last.pool == last.step == (1, 1)
        is_plain = hidden.pool == (1, 1) and self._layer(last).activation == "none"
        return is_pixelwise and is_plain and classes <= _MOST_CLASSES

    def _prepare(self, number: int, unit: UnitPlan, values: Tensor) -> tuple[Runs, Tensor, Packed]:
        """Runs and weights for maps as wide as these; made once: a captured graph goes on reading them."""
        _, _, width, channels = values.shape
        key = (number, width, values.device, values.dtype)
        if key not in self._ready:
            runs = plan_runs(unit, channels, width * channels)
            offsets = torch.tensor(runs.offsets, dtype=torch.int32).to(values.device)
            self._ready[key] = runs, offsets, pack_convolution(self._layer(unit), runs)
        return self._ready[key]

    def _constants(self, runs: Runs, packed: Packed, block: int) -> dict[str, Any]:
        is_tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
        return {
            "RUNS": len(runs.offsets),
            "RUN": runs.length,
            "RUN_BLOCK": runs.block,
            "ALIGNED": runs.aligned,
            "MAPS_BLOCK": packed.maps_block,
            "BLOCK": block,
            "PRECISION": "tf32" if is_tf32 else "ieee",
            "num_warps": self.tuning.warps,
            "num_stages": self.tuning.stages,
        }

    def run_unit(self, number: int, values: Tensor) -> Tensor:
        """One unit alone: (N, H, W, C), contiguous -> (N, h, w, maps)."""
        from scanner.dense.gpu.triton_kernels import pooled_convolution

        unit = self.units[number]
        runs, offsets, packed = self._prepare(number, unit, values)
        count, _, width, channels = values.shape
        size = unit.output(Step(*values.shape[1:3]))
        result = torch.empty((count, *size, packed.maps), dtype=values.dtype, device=values.device)
        pitch = Step(width * channels, channels)
        gap, rows = max(1, unit.row_gap), self.tuning.rows
        grid = (-(-size.cols // self.tuning.block), gap * -(-size.rows // (gap * rows)), count)
        pooled_convolution[grid](
            values,
            result,
            packed.weights,
            packed.bias,
            offsets,
            values.stride(0),
            unit.step.rows * pitch.rows,
            unit.step.cols * pitch.cols,
            unit.pool_dilation.rows * unit.stride.rows * pitch.rows,
            unit.pool_dilation.cols * unit.stride.cols * pitch.cols,
            result.stride(0),
            result.stride(1),
            size.rows,
            size.cols,
            gap,
            MAPS=packed.maps,
            ACTIVATION=ACTIVATIONS[self._layer(unit).activation],
            POOL_ROWS=unit.pool.rows,
            POOL_COLS=unit.pool.cols,
            IS_SHARED=unit.row_gap > 0,
            ROWS=rows,
            **self._constants(runs, packed, self.tuning.block),
        )
        return result

    def _run_head(self, values: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, classes, h, w), float32."""
        from scanner.dense.gpu.triton_kernels import classifying_head

        hidden = self.units[-2]
        runs, offsets, packed = self._prepare(len(self.units) - 2, hidden, values)
        class_weights, class_bias = self._class_weights(packed.maps_block, values)
        count, _, width, channels = values.shape
        size = hidden.output(Step(*values.shape[1:3]))
        classes = len(class_bias)
        result = torch.empty((count, classes, *size), dtype=torch.float32, device=values.device)
        grid = (-(-size.cols // self.tuning.head_block), size.rows, count)
        classifying_head[grid](
            values,
            result,
            packed.weights,
            packed.bias,
            offsets,
            class_weights,
            class_bias,
            values.stride(0),
            hidden.step.rows * width * channels,
            hidden.step.cols * channels,
            size.rows,
            size.cols,
            CLASSES=classes,
            ACTIVATION=ACTIVATIONS[self._layer(hidden).activation],
            **self._constants(runs, packed, self.tuning.head_block),
        )
        return result

    def _class_weights(self, maps_block: int, values: Tensor) -> tuple[Tensor, Tensor]:
        """(classes, maps_block) and (classes,), float32; made once, as all that a captured graph reads."""
        key = ("classes", values.device, values.dtype)
        if key not in self._classes:
            self._classes[key] = self._pack_classes(maps_block, values.device)
        return self._classes[key]

    def _pack_classes(self, maps_block: int, device: torch.device) -> tuple[Tensor, Tensor]:
        layer = self._layer(self.units[-1])
        classes, maps = layer.weight.shape[:2]
        weights = torch.zeros((classes, maps_block), dtype=torch.float32, device=device)
        weights[:, :maps] = layer.weight.detach().view(classes, maps)
        bias = torch.zeros(classes, device=device) if layer.bias is None else layer.bias.detach().float()
        return weights, bias
