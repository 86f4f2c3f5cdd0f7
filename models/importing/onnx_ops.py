"""Operations of ONNX files, by what they are in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ModelDamagedError
from models.importing.onnx_layers import LAYERS
from models.importing.onnx_operation import Built, Operation
from models.importing.onnx_shapes import SHAPES

#: ONNX's numbers for types.
_FLOATS, _WHOLE = {1, 10, 11, 16}, {6: torch.int32, 7: torch.int64, 9: torch.bool}


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
    **LAYERS,
    **SHAPES,
    "Constant": lambda op: None if "value" in op.attributes else _unknown_constant(op),
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
    "Transpose": lambda op: ((lambda x: x.permute(tuple(op.attributes["perm"]))), [op.x]),
    "Shape": _function(lambda x: x.shape),
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
