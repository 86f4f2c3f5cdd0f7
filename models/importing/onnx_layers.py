"""ONNX's operations with weights or windows: convolutions, poolings, products, normalisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.errors import ModelDamagedError
from models.importing.onnx_operation import Built, Operation
from models.importing.program import Window, batch_norm, convolution, linear


def _window(op: Operation, kernel: list[int]) -> tuple[Window, tuple[int, int, int, int] | None]:
    """How the kernel slides; and padding that differs before and behind, for `F.pad`."""
    if op.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise ModelDamagedError(f"{op.name}: auto_pad {op.get('auto_pad', '')!r}; export with explicit pads")
    if len(kernel) != 2:
        raise ModelDamagedError(f"{op.name}: {len(kernel)} axes; only images are known")
    strides, dilations = op.get("strides", [1, 1]), op.get("dilations", [1, 1])
    top, left, bottom, right = op.get("pads", [0] * 4)
    stride, dilation = (strides[0], strides[1]), (dilations[0], dilations[1])
    if (top, left) == (bottom, right):
        return Window(stride, (top, left), dilation), None
    return Window(stride, (0, 0), dilation), (left, right, top, bottom)


def _convolution(op: Operation) -> Built:
    weight = op.fixed(1)
    bias = None if op.optional(2) is None else op.fixed(2)
    window, pads = _window(op, list(weight.shape[2:]))
    layer: nn.Module = convolution(weight, bias, window, groups=op.get("group", 1))
    return (layer if pads is None else nn.Sequential(nn.ZeroPad2d(pads), layer)), [op.x]


def _numbers(window: Window) -> tuple[int, int]:
    assert not isinstance(window.padding, str)
    return window.padding


def _max_pool(op: Operation) -> Built:
    kernel = op.attributes["kernel_shape"]
    window, pads = _window(op, kernel)
    ceil_mode = bool(op.get("ceil_mode", 0))
    layer: nn.Module = nn.MaxPool2d(kernel, window.stride, _numbers(window), window.dilation, ceil_mode=ceil_mode)
    return (layer if pads is None else nn.Sequential(nn.ConstantPad2d(pads, -torch.inf), layer)), [op.x]


def _average_pool(op: Operation) -> Built:
    kernel, counts_padding = op.attributes["kernel_shape"], bool(op.get("count_include_pad", 0))
    window, pads = _window(op, kernel)
    if pads is not None and not counts_padding:
        raise ModelDamagedError(f"{op.name}: unequal pads that are not counted")
    layer: nn.Module = nn.AvgPool2d(
        kernel, window.stride, _numbers(window), bool(op.get("ceil_mode", 0)), counts_padding
    )
    return (layer if pads is None else nn.Sequential(nn.ZeroPad2d(pads), layer)), [op.x]


def _gemm(op: Operation) -> Built:
    weight = op.fixed(1) if op.get("transB", 0) else op.fixed(1).t()
    if op.get("transA", 0):
        raise ModelDamagedError(f"{op.name}: transA is not known")
    bias = None if op.optional(2) is None else op.fixed(2).expand(weight.shape[0]) * op.get("beta", 1.0)
    return linear(weight * op.get("alpha", 1.0), bias), [op.x]


def _matrix_product(op: Operation) -> Built:
    if isinstance(op.optional(1), Tensor) and op.fixed(1).dim() == 2:
        return linear(op.fixed(1).t(), None), [op.x]
    return torch.matmul, list(op.inputs)


def _batch_norm(op: Operation) -> Built:
    scale, shift, mean, variance = (op.fixed(index) for index in range(1, 5))
    return batch_norm(scale, shift, mean, variance, op.get("epsilon", 1e-5)), [op.x]


LAYERS: dict[str, Callable[[Operation], Built]] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matrix_product,
    "BatchNormalization": _batch_norm,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
}
