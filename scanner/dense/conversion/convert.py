"""What each kind of layer becomes when it slides, and which kinds cannot: the table of exactness.

A layer is exact if its output at one place depends on its input at fixed distances from that place, whatever patch
the place belongs to. Padding inside the patch, normalisation over space and global operations before the end break
that: the same pixel has another value in each patch that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from scanner.dense.conversion import pointwise, reshape, sliding
from scanner.dense.network.trace import Call, Traced, Tracer
from scanner.errors import InexactLayerError

_MODULES: list[tuple[Any, Callable[[Any, Call, Tracer], Traced]]] = [
    (nn.Conv2d, sliding.convert_convolution),
    (nn.Linear, sliding.convert_linear),
    ((nn.MaxPool2d, nn.AvgPool2d), sliding.convert_pool),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), sliding.convert_adaptive_pool),
    ((nn.BatchNorm1d, nn.BatchNorm2d), pointwise.convert_batch_norm),
    (nn.Flatten, lambda _module, call, tracer: reshape.convert_flatten(call, tracer)),
    ((nn.Softmax, nn.LogSoftmax), pointwise.convert_softmax_module),
    (pointwise.MODULES, pointwise.convert_pointwise_module),
]
_FUNCTIONS: dict[str, Callable[[Call, Tracer], Traced]] = {
    "conv2d": sliding.convert_functional_convolution,
    "batch_norm": lambda call, tracer: _convert_functional_batch_norm(call, tracer),
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), sliding.convert_functional_pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), sliding.convert_functional_adaptive),
    **dict.fromkeys(("mean", "sum", "amax"), sliding.convert_reduce_space),
    **dict.fromkeys(("softmax", "log_softmax"), pointwise.convert_functional_softmax),
    **dict.fromkeys(("cat", "concat", "concatenate"), pointwise.convert_concatenate),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze"), reshape.convert_flatten),
    "getitem": reshape.convert_slice,
    "pad": reshape.convert_pad,
    **dict.fromkeys(pointwise.FUNCTIONS, pointwise.convert_pointwise),
}
#: Why the best-known inexact layers are; for all others the reason is that we do not know them to be exact.
_REASONS: list[tuple[tuple[type[nn.Module], ...], str]] = [
    (
        (nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm),
        "normalises over the patch, so the same pixel has another value in each patch",
    ),
    (
        (nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ConstantPad2d, nn.CircularPad2d),
        "pads inside the patch, where the slide has real neighbours",
    ),
    ((nn.Upsample, nn.ConvTranspose2d, nn.PixelShuffle), "depends on where in the patch a pixel lies"),
    ((nn.MultiheadAttention,), "relates all positions of the patch"),
]


def convert(call: Call, tracer: Tracer) -> Traced:
    """The layer that `call` becomes.

    Raises
    ------
    InexactLayerError
        With the layer's qualified name and the reason.
    """
    if isinstance(call.target, nn.Module):
        return _convert_module(call.target, call, tracer)
    name = call.target if isinstance(call.target, str) else getattr(call.target, "__name__", str(call.target))
    if name not in _FUNCTIONS:
        raise InexactLayerError(call.name, f"{name!r} is not known to treat every position alike")
    return _FUNCTIONS[name](call, tracer)


def _convert_functional_batch_norm(call: Call, tracer: Tracer) -> Traced:
    """F.batch_norm with statistics that are the same for every patch: as the module in eval mode."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    bound = dict(zip(names, call.args, strict=False)) | call.kwargs
    mean, variance, weight, bias = (bound.get(name) for name in names[1:5])
    if bound.get("training") or not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        raise InexactLayerError(call.name, "it normalises by the batch; call net.eval() and keep running statistics")
    module = nn.BatchNorm2d(len(mean), eps=bound.get("eps", 1e-5), affine=weight is not None).eval()
    module.running_mean, module.running_var = mean, variance
    if isinstance(weight, Tensor) and isinstance(bias, Tensor):
        module.weight, module.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    return pointwise.convert_batch_norm(module, call, tracer)


def _convert_module(module: nn.Module, call: Call, tracer: Tracer) -> Traced:
    for kinds, converter in _MODULES:
        if isinstance(module, kinds):
            return converter(module, call, tracer)
    kind = type(module).__name__
    for kinds, reason in _REASONS:
        if isinstance(module, kinds):
            raise InexactLayerError(call.name, f"{kind} {reason}")
    raise InexactLayerError(call.name, f"{kind} is not known to treat every position alike")
