"""Layers that treat every position alone: activations, BatchNorm in eval mode, softmax, arithmetic, concatenation."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.elementwise import softmax
from scanner.dense.network.layers import ChannelAffine, Pointwise
from scanner.dense.network.trace import Call, Source, Traced, Tracer
from scanner.errors import InexactLayerError

#: Layers that act on each value, or on each position's channels, alone.
MODULES: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Softplus,
    nn.Softsign,
    nn.Tanhshrink,
    nn.Threshold,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.AlphaDropout,
    nn.LocalResponseNorm,
)
#: Functions and tensor methods of the same kind; with several tensors, they meet at the same place.
FUNCTIONS: frozenset[str] = frozenset(
    """
    relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ selu celu gelu silu mish tanh tanh_ sigmoid sigmoid_ logsigmoid
    hardtanh hardswish hardsigmoid hardshrink softshrink softplus softsign tanhshrink threshold prelu
    local_response_norm dropout dropout2d alpha_dropout
    exp log log1p expm1 sqrt rsqrt abs neg square pow clamp clamp_min clamp_max clip sin cos erf atan sign reciprocal
    add add_ sub sub_ rsub mul mul_ div div_ truediv true_divide maximum minimum lerp addcmul iadd isub imul
    contiguous clone detach float double to type_as
    """.split()
)


def convert_batch_norm(module: nn.modules.batchnorm._BatchNorm, call: Call, tracer: Tracer) -> Traced:
    """BatchNorm in eval mode: a scale and a shift per channel."""
    if module.training or module.running_mean is None or module.running_var is None:
        raise InexactLayerError(call.name, "it normalises by the batch; call net.eval() and keep running statistics")
    source = call.source
    if tracer.flattened.get(source.index, (0, 1, 1))[1:] != (1, 1):
        raise InexactLayerError(call.name, "it normalises each place of the flattened patch on its own")
    scale, shift = batch_norm_affine(module)
    return Traced(ChannelAffine(scale, shift))


def batch_norm_affine(module: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift per channel of a BatchNorm in eval mode, in float64."""
    assert module.running_mean is not None
    assert module.running_var is not None
    mean, variance = module.running_mean.double(), module.running_var.double()
    scale = 1 / torch.sqrt(variance + module.eps)
    shift = -mean * scale
    if module.affine:
        scale, shift = scale * module.weight.double(), shift * module.weight.double() + module.bias.double()
    return scale.detach(), shift.detach()


def convert_pointwise_module(module: nn.Module, call: Call, tracer: Tracer) -> Traced:  # noqa: ARG001
    """An activation, or dropout in eval mode, as it is."""
    if isinstance(module, (nn.modules.dropout._DropoutNd, nn.RReLU)) and module.training and _is_random(module):
        raise InexactLayerError(call.name, "it is random in training mode; call net.eval()")
    return Traced(Pointwise(module, module))


def _is_random(module: nn.Module) -> bool:
    return getattr(module, "p", 1.0) > 0


def convert_softmax_module(module: nn.Module, call: Call, tracer: Tracer) -> Traced:  # noqa: ARG001
    """nn.Softmax and nn.LogSoftmax over the classes."""
    settings: Any = module
    return _softmax_over(call, settings.dim, torch.log_softmax if isinstance(module, nn.LogSoftmax) else softmax)


def convert_functional_softmax(call: Call, tracer: Tracer) -> Traced:  # noqa: ARG001
    """Softmax and log_softmax over the classes, as function or method."""
    dim = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
    name = call.target if isinstance(call.target, str) else call.target.__name__
    return _softmax_over(call, dim, torch.log_softmax if name == "log_softmax" else softmax)


def _softmax_over(call: Call, dim: int | None, function: Callable[..., Tensor]) -> Traced:
    source = call.source
    if dim is None or dim % len(source.shape) != 1:
        raise InexactLayerError(
            call.name, f"softmax over dim {dim!r} mixes positions; only the classes' axis 1 is exact"
        )
    return Traced(Pointwise(lambda x: function(x, dim=1)))


def convert_concatenate(call: Call, tracer: Tracer) -> Traced:
    """torch.cat along the channels."""
    dim = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else 0)
    sources = call.sources
    if dim % len(sources[0].shape) != 1:
        raise InexactLayerError(call.name, f"concatenation along dim {dim} is not along the channels")
    if any(tracer.flattened.get(s.index, (0, 1, 1))[1:] != (1, 1) for s in sources):
        raise InexactLayerError(call.name, "flattened patches cannot be concatenated; concatenate before flattening")
    order = tuple(source.index for source in sources)
    return Traced(Pointwise(lambda *xs: torch.cat(xs, dim=1)), inputs=order)


def convert_pointwise(call: Call, tracer: Tracer) -> Traced:
    """An elementwise function; its tensor arguments meet at the same place."""
    sources = call.sources
    if call.kwargs.get("training") or (call.name.endswith("dropout") and True in call.args):
        raise InexactLayerError(call.name, "it is random in training mode; call net.eval()")
    if any(tracer.extent(s.index) != tracer.extent(sources[0].index) for s in sources):
        sizes = ", ".join(str(tracer.extent(s.index)) for s in sources)
        raise InexactLayerError(call.name, f"it spreads one value over the patch: sizes {sizes} meet")
    constants = [_constant(a, call, tracer) for a in (*call.args, *call.kwargs.values()) if isinstance(a, Tensor)]
    function = getattr(torch.Tensor, call.target) if isinstance(call.target, str) else _out_of_place(call.target)

    def apply(*tensors: Tensor) -> Tensor:
        computed, fixed = iter(tensors[: len(sources)]), iter(tensors[len(sources) :])

        def value_of(argument: Any) -> Any:
            if isinstance(argument, Source):
                return next(computed)
            return next(fixed) if isinstance(argument, Tensor) else argument

        args = [value_of(argument) for argument in call.args]
        return function(*args, **{key: value_of(argument) for key, argument in call.kwargs.items()})

    layer = Pointwise(apply, label=function.__name__.strip("_"), constants=constants)
    return Traced(layer, inputs=tuple(s.index for s in sources))


def _constant(value: Tensor, call: Call, tracer: Tracer) -> Tensor:
    """A parameter as it meets a map: one value for all, or one per channel."""
    source = call.sources[0]
    value = value if tracer.trainable else value.detach()
    if value.numel() == 1:
        return value
    per_channel = value.dim() <= 2 and tracer.flattened.get(source.index, (0, 1, 1))[1:] == (1, 1)
    if len(source.shape) == 2 and per_channel and value.shape[-1] == value.numel():
        return value.view(-1, 1, 1)
    if len(source.shape) == 4 and value.dim() >= 3 and value.shape[-2:] == (1, 1):
        return value
    raise InexactLayerError(call.name, f"a constant of shape {tuple(value.shape)} differs between positions")


def _out_of_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`a += b` would write into a value that another layer still needs."""
    return {operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul}.get(
        function, function
    )
