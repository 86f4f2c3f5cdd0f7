"""Operations of torch.export programs, by what they are in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import ModelDamagedError
from models.importing.program import Window, batch_norm, convolution, linear

#: Named arguments -> a layer or function, and the values that it takes.
Arguments = dict[str, Any]
Built = tuple[Any, list[Any]]
#: An end that is none.
_NO_END = 2**63 - 1


def _input(a: Arguments) -> Any:
    return a["input"] if "input" in a else a["self"]


def _weights(a: Arguments, *names: str) -> list[Any]:
    """Tensors of the file; what is computed from the image is no weight."""
    found = [a.get(name) for name in names]
    if any(value is not None and not isinstance(value, Tensor) for value in found):
        raise ModelDamagedError(f"{', '.join(names)} are computed from the image; only fixed weights are known")
    return found


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _convolution(a: Arguments) -> Built:
    if a.get("transposed"):
        raise ModelDamagedError("transposed convolutions are not known")
    weight, bias = _weights(a, "weight", "bias")
    padding = a.get("padding", 0)
    window = Window(
        _pair(a.get("stride") or 1),
        padding if isinstance(padding, str) else _pair(padding),
        _pair(a.get("dilation", 1)),
    )
    return convolution(weight, bias, window, groups=a.get("groups", 1)), [_input(a)]


def _linear(a: Arguments) -> Built:
    weight, bias = _weights(a, "weight", "bias")
    return linear(weight, bias), [_input(a)]


def _addmm(a: Arguments) -> Built:
    if not isinstance(a["mat2"], Tensor):
        raise ModelDamagedError("a product of two computed matrices is not known")
    return linear(a["mat2"].t(), a["self"]), [a["mat1"]]


def _batch_norm(a: Arguments) -> Built:
    if a.get("training"):
        raise ModelDamagedError("BatchNorm in training mode; export the network after net.eval()")
    scale, shift, mean, variance = _weights(a, "weight", "bias", "running_mean", "running_var")
    return batch_norm(scale, shift, mean, variance, a["eps"]), [_input(a)]


def _max_pool(a: Arguments) -> Built:
    layer = nn.MaxPool2d(
        _pair(a["kernel_size"]),
        _pair(a.get("stride") or a["kernel_size"]),
        _pair(a.get("padding", 0)),
        _pair(a.get("dilation", 1)),
        ceil_mode=a.get("ceil_mode", False),
    )
    return layer, [_input(a)]


def _average_pool(a: Arguments) -> Built:
    layer = nn.AvgPool2d(
        _pair(a["kernel_size"]),
        _pair(a.get("stride") or a["kernel_size"]),
        _pair(a.get("padding", 0)),
        a.get("ceil_mode", False),
        a.get("count_include_pad", True),
        a.get("divisor_override"),
    )
    return layer, [_input(a)]


def _module(make: Callable[[Arguments], nn.Module]) -> Callable[[Arguments], Built]:
    return lambda a: (make(a), [_input(a)])


def _function(function: Callable[..., Any], *names: str) -> Callable[[Arguments], Built]:
    """A function of the image's values and of these further arguments, as far as they are given: the first of them."""

    def build(a: Arguments) -> Built:
        first, given = next(iter(a.values())), [name for name in names if name in a]
        if given != list(names[: len(given)]):
            raise ModelDamagedError(f"{', '.join(given)} without what stands before them is not known")
        return function, [first, *(a[name] for name in given)]

    return build


def _binary(function: Callable[..., Any]) -> Callable[[Arguments], Built]:
    def build(a: Arguments) -> Built:
        if a.get("alpha", 1) != 1:
            alpha = a["alpha"]
            return (lambda x, y: function(x, y * alpha)), [a["self"], a["other"]]
        return function, [a["self"], a["other"]]

    return build


def _reversed_subtraction(a: Arguments) -> Built:
    alpha = a.get("alpha", 1)
    return (lambda x, y: y - x * alpha), [a["self"], a["other"]]


def _reshape(a: Arguments) -> Built:
    size = a["size"] if "size" in a else a["shape"]
    if size and size[0] == "batch":
        rest = tuple(size[1:])
        return (lambda x: x.reshape(x.size(0), *rest)), [a["self"]]
    return torch.reshape, [a["self"], tuple(size)]


def _slice(a: Arguments) -> Built:
    start, end, step = a.get("start") or None, a.get("end"), a.get("step", 1)
    end = None if end == _NO_END else end
    if start is None and end is None and step == 1:
        return nn.Identity(), [a["self"]]
    dim, part = a.get("dim", 0), slice(start, end, step)
    index = (*[slice(None)] * dim, part) if dim >= 0 else (..., part, *[slice(None)] * (-1 - dim))
    return (lambda x: x[index]), [a["self"]]


def _pad(a: Arguments) -> Built:
    if a.get("mode") not in {None, "constant"}:
        mode = a["mode"]
        return (lambda x, pad: F.pad(x, pad, mode)), [a["self"], tuple(a["pad"])]
    value = float(a.get("value") or 0.0)
    return (lambda x, pad: F.pad(x, pad, "constant", value)), [a["self"], tuple(a["pad"])]


def _softmax(function: Callable[..., Tensor]) -> Callable[[Arguments], Built]:
    def build(a: Arguments) -> Built:
        dim = a["dim"]
        return (lambda x: function(x, dim=dim)), [a["self"]]

    return build


def _reduce(function: Callable[..., Tensor]) -> Callable[[Arguments], Built]:
    def build(a: Arguments) -> Built:
        dims, keepdim = tuple(a["dim"]) if isinstance(a["dim"], list) else (a["dim"],), a.get("keepdim", False)
        return (lambda x: function(x, dim=dims, keepdim=keepdim)), [_input(a)]

    return build


def _plain(kind: type[nn.Module]) -> Callable[[Arguments], nn.Module]:
    """A layer without settings."""
    return lambda _: kind()


_ACTIVATIONS: dict[str, Callable[[Arguments], nn.Module]] = {
    "relu.default": _plain(nn.ReLU),
    "relu6.default": _plain(nn.ReLU6),
    "tanh.default": _plain(nn.Tanh),
    "sigmoid.default": _plain(nn.Sigmoid),
    "silu.default": _plain(nn.SiLU),
    "mish.default": _plain(nn.Mish),
    "selu.default": _plain(nn.SELU),
    "hardswish.default": _plain(nn.Hardswish),
    "hardsigmoid.default": _plain(nn.Hardsigmoid),
    "gelu.default": lambda a: nn.GELU(a.get("approximate", "none")),
    "leaky_relu.default": lambda a: nn.LeakyReLU(a.get("negative_slope", 0.01)),
    "elu.default": lambda a: nn.ELU(a.get("alpha", 1.0)),
    "hardtanh.default": lambda a: nn.Hardtanh(a.get("min_val", -1.0), a.get("max_val", 1.0)),
    "softplus.default": lambda a: nn.Softplus(a.get("beta", 1.0), a.get("threshold", 20.0)),
    **dict.fromkeys(
        (
            "dropout.default",
            "feature_dropout.default",
            "alpha_dropout.default",
            "clone.default",
            "contiguous.default",
            "detach.default",
            "alias.default",
            "lift_fresh_copy.default",
        ),
        _plain(nn.Identity),
    ),
    "adaptive_avg_pool2d.default": lambda a: nn.AdaptiveAvgPool2d(tuple(a["output_size"])),
    "adaptive_max_pool2d.default": lambda a: nn.AdaptiveMaxPool2d(tuple(a["output_size"])),
}

#: By the operation's name without "aten."; in-place ones are named as those that are not.
HANDLERS: dict[str, Callable[[Arguments], Built]] = {
    **{name: _module(make) for name, make in _ACTIVATIONS.items()},
    **dict.fromkeys(("conv2d.default", "conv2d.padding", "convolution.default"), _convolution),
    "linear.default": _linear,
    "addmm.default": _addmm,
    **dict.fromkeys(("batch_norm.default", "_native_batch_norm_legit_no_training.default"), _batch_norm),
    "max_pool2d.default": _max_pool,
    "avg_pool2d.default": _average_pool,
    "flatten.using_ints": _function(torch.flatten, "start_dim", "end_dim"),
    **dict.fromkeys(("view.default", "reshape.default"), _reshape),
    "squeeze.dims": _function(torch.squeeze, "dim"),
    "unsqueeze.default": _function(torch.unsqueeze, "dim"),
    "permute.default": _function(torch.permute, "dims"),
    **{
        f"{name}.{kind}": _binary(function)
        for kind in ("Tensor", "Scalar")
        for name, function in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div))
    },
    "rsub.Scalar": _reversed_subtraction,
    **{f"{name}.default": _function(getattr(torch, name)) for name in ("exp", "log", "sqrt", "rsqrt", "neg", "abs")},
    "pow.Tensor_Scalar": _function(torch.pow, "exponent"),
    "clamp.default": lambda a: (torch.clamp, [a["self"], a.get("min"), a.get("max")]),
    "maximum.default": _binary(torch.maximum),
    "minimum.default": _binary(torch.minimum),
    "cat.default": lambda a: (torch.cat, [list(a["tensors"]), a.get("dim", 0)]),
    "slice.Tensor": _slice,
    **dict.fromkeys(("pad.default", "constant_pad_nd.default"), _pad),
    "softmax.int": _softmax(torch.softmax),
    "log_softmax.int": _softmax(torch.log_softmax),
    **dict.fromkeys(("mean.dim",), _reduce(torch.mean)),
    "sum.dim_IntList": _reduce(torch.sum),
    "amax.default": _reduce(torch.amax),
}
