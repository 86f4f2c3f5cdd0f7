"""Operations of ONNX files, by what they are in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import ModelDamagedError
from models.importing.program import Ref, Window, batch_norm, convolution, linear

#: ONNX's numbers for types.
_FLOATS, _WHOLE = {1, 10, 11, 16}, {6: torch.int32, 7: torch.int64, 9: torch.bool}
#: A layer or function, and the values that it takes; None for a constant.
Built = tuple[Any, list[Any]] | None


@dataclass(frozen=True)
class Operation:
    """One node of the graph."""

    name: str
    #: Values of its inputs: tensors of the file, or what earlier steps give; None where one is left out.
    inputs: list[Any]
    attributes: dict[str, Any]

    @property
    def x(self) -> Any:
        """The first input."""
        return self.inputs[0]

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or what ONNX takes in its place."""
        return self.attributes.get(name, default)

    def optional(self, index: int) -> Any:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def fixed(self, index: int) -> Tensor:
        """An input that must be a tensor of the file."""
        value = self.optional(index)
        if not isinstance(value, Tensor):
            raise ModelDamagedError(f"{self.name}: input {index} is computed from the image; only fixed ones are known")
        return value

    def numbers(self, attribute: str, index: int) -> list[int] | None:
        """Integers that older files have as an attribute and newer ones as an input."""
        if attribute in self.attributes:
            return [int(value) for value in self.attributes[attribute]]
        return None if self.optional(index) is None else [int(value) for value in self.fixed(index).flatten()]


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


def _reshape(op: Operation) -> Built:
    if isinstance(op.optional(1), Ref):
        return (lambda x, shape: x.reshape(shape)), [op.x, op.inputs[1]]
    shape = op.numbers("shape", 1) or []
    if not isinstance(op.x, Ref):
        return (lambda x: x.reshape(shape)), [op.x]
    if len(shape) == 2 and (shape[0] in {0, 1} or shape == [-1, shape[1]]):
        return nn.Flatten(), [op.x]  # A file for one patch at a time is run on others.
    return (lambda x: x.reshape(tuple(x.size(i) if size == 0 else size for i, size in enumerate(shape)))), [op.x]


def _flatten(op: Operation) -> Built:
    if op.get("axis", 1) != 1:
        raise ModelDamagedError(f"{op.name}: flattening from axis {op.get('axis', 1)} is not known")
    return nn.Flatten(), [op.x]


def _slice(op: Operation) -> Built:
    bounds = [_bounds(op, name, index) for name, index in (("starts", 1), ("ends", 2))]
    count = next((len(bound) for bound in bounds if isinstance(bound, tuple)), 1)
    axes = op.numbers("axes", 3) or list(range(count))
    steps = op.numbers("steps", 4) or [1] * count

    def crop(x: Tensor, starts: Any, ends: Any) -> Tensor:
        index = [slice(None)] * (max(axes) + 1)
        for place, axis in enumerate(axes):
            index[axis] = slice(_entry(starts, place), _entry(ends, place), steps[place])
        return x[tuple(index)]

    return crop, [op.x, *bounds]


def _bounds(op: Operation, name: str, index: int) -> Any:
    """Where a part begins or ends: fixed, or a size that is computed from shapes."""
    value = op.optional(index)
    return value if isinstance(value, Ref) else tuple(op.numbers(name, index) or ())


def _entry(bound: Any, place: int) -> Any:
    return bound[place] if isinstance(bound, (tuple, list)) else bound


def _pad(op: Operation) -> Built:
    if op.optional(3) is not None:
        raise ModelDamagedError(f"{op.name}: pads of some axes alone; export them for all")
    pads, value = op.numbers("pads", 1) or [], op.optional(2)
    half = len(pads) // 2
    order = [amount for axis in reversed(range(half)) for amount in (pads[axis], pads[half + axis])]
    while len(order) > 2 and order[-2:] == [0, 0]:
        order = order[:-2]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[op.get("mode", "constant")]
    if mode != "constant":
        return (lambda x: F.pad(x, tuple(order), mode)), [op.x]
    fill = float(op.get("value", 0.0)) if value is None else float(op.fixed(2))
    return (lambda x: F.pad(x, tuple(order), "constant", fill)), [op.x]


def _gather(op: Operation) -> Built:
    index, axis = op.fixed(1), op.get("axis", 0)
    if isinstance(op.x, Ref):
        raise ModelDamagedError(f"{op.name}: picking single places of the image is not known")
    # An index of any shape takes the place of the axis.
    return (lambda x: x[(slice(None),) * (axis % x.dim()) + (index,)]), [op.x]


def _concatenate(op: Operation) -> Built:
    axis = op.attributes["axis"]
    return (lambda *found: torch.cat(found, dim=axis)), list(op.inputs)


def _unsqueeze(op: Operation) -> Built:
    axes = op.numbers("axes", 1) or []
    if len(axes) != 1:
        raise ModelDamagedError(f"{op.name}: only one axis can be added at a time")
    return (lambda x: x.unsqueeze(axes[0])), [op.x]


def _squeeze(op: Operation) -> Built:
    axes = op.numbers("axes", 1)
    if axes is None:
        raise ModelDamagedError(f"{op.name}: axes are missing")
    return (lambda x: x.squeeze(tuple(axes))), [op.x]


def _reduce(function: Callable[..., Tensor]) -> Callable[[Operation], Built]:
    def build(op: Operation) -> Built:
        axes, keepdim = tuple(op.numbers("axes", 1) or ()), bool(op.get("keepdims", 1))
        return (lambda x: function(x, dim=axes, keepdim=keepdim)), [op.x]

    return build


def _over_axis(function: Callable[..., Tensor]) -> Callable[[Operation], Built]:
    return lambda op: ((lambda x: function(x, dim=op.get("axis", -1))), [op.x])


def _clip(op: Operation) -> Built:
    low, high = (
        float(op.attributes[key]) if key in op.attributes else None if op.optional(i) is None else float(op.fixed(i))
        for key, i in (("min", 1), ("max", 2))
    )
    return (lambda x: torch.clamp(x, low, high)), [op.x]


def _cast(op: Operation) -> Built:
    """Values of the image stay in the numbers that the network runs in; those of the file become what is asked for."""
    to = op.attributes["to"]
    if to in _FLOATS:
        return nn.Identity(), [op.x]
    if not isinstance(op.x, Tensor) or to not in _WHOLE:
        raise ModelDamagedError(f"{op.name}: values that are cut to whole numbers are not known")
    return (lambda x: x.to(_WHOLE[to])), [op.x]


def _plain(make: Callable[[], nn.Module]) -> Callable[[Operation], Built]:
    """A layer without settings."""
    return lambda op: (make(), [op.x])


def _module(make: Callable[[Operation], nn.Module]) -> Callable[[Operation], Built]:
    return lambda op: (make(op), [op.x])


def _function(function: Callable[..., Any]) -> Callable[[Operation], Built]:
    return lambda op: (function, list(op.inputs))


OPERATIONS: dict[str, Callable[[Operation], Built]] = {
    "Constant": lambda op: None if "value" in op.attributes else _unknown_constant(op),
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matrix_product,
    "BatchNormalization": _batch_norm,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _plain(lambda: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": _plain(lambda: nn.AdaptiveMaxPool2d(1)),
    "Relu": _plain(nn.ReLU),
    "Tanh": _plain(nn.Tanh),
    "Sigmoid": _plain(nn.Sigmoid),
    "Softplus": _plain(nn.Softplus),
    "HardSwish": _plain(nn.Hardswish),
    "Selu": _plain(nn.SELU),
    "LeakyRelu": _module(lambda op: nn.LeakyReLU(op.get("alpha", 0.01))),
    "Elu": _module(lambda op: nn.ELU(op.get("alpha", 1.0))),
    "Gelu": _module(lambda op: nn.GELU(op.get("approximate", "none"))),
    **dict.fromkeys(("Identity", "Dropout"), _plain(nn.Identity)),
    "Cast": _cast,
    "Clip": _clip,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda op: ((lambda x: x.permute(tuple(op.attributes["perm"]))), [op.x]),
    "Shape": _function(lambda x: x.shape),
    "Gather": _gather,
    "Concat": _concatenate,
    "Slice": _slice,
    "Pad": _pad,
    "Softmax": _over_axis(torch.softmax),
    "LogSoftmax": _over_axis(torch.log_softmax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "ReduceMax": _reduce(torch.amax),
    "Add": _function(torch.add),
    "Sub": _function(torch.sub),
    "Mul": _function(torch.mul),
    "Div": _function(torch.div),
    "Pow": _function(torch.pow),
    "Max": _function(torch.maximum),
    "Min": _function(torch.minimum),
    **{name: _function(getattr(torch, name.lower())) for name in ("Exp", "Log", "Sqrt", "Neg", "Abs", "Erf")},
}


def _unknown_constant(op: Operation) -> Built:
    raise ModelDamagedError(f"{op.name}: a constant that is no tensor")
