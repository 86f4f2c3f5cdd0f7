"""Layers that slide a window: convolution, linear (a window that fills the patch) and pooling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scanner.dense.network.layers import AveragePool, Convolution, MaxPool, SharedConvolution
from scanner.dense.network.plan import Window
from scanner.dense.network.trace import Call, Traced, Tracer
from scanner.errors import InexactLayerError


def convert_convolution(module: nn.Conv2d, call: Call, tracer: Tracer) -> Traced:
    """nn.Conv2d without padding."""
    if module.padding != (0, 0) and module.padding not in ("valid", 0):
        raise InexactLayerError(call.name, f"padding {module.padding!r} puts invented pixels inside the patch")
    windows = _windows(module.kernel_size, module.stride, module.dilation)
    tracer.need_spatial(call)
    if tracer.trainable:
        return Traced(SharedConvolution(module, _kernel(windows)), windows)
    return Traced(Convolution(module.weight, module.bias, groups=module.groups), windows)


def _kernel(windows: tuple[Window, Window]) -> tuple[int, int]:
    """Kernel sizes of both axes."""
    return windows[0].kernel, windows[1].kernel


def convert_functional_convolution(call: Call, tracer: Tracer) -> Traced:
    """F.conv2d, with weights that are the same for every patch."""
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    bound = dict(zip(names, call.args, strict=False)) | call.kwargs
    weight: Tensor = bound["weight"]
    layer = nn.Conv2d(
        weight.shape[1] * bound.get("groups", 1),
        weight.shape[0],
        _pair(weight.shape[2:]),
        stride=bound.get("stride", 1),
        padding=bound.get("padding", 0),
        dilation=bound.get("dilation", 1),
        groups=bound.get("groups", 1),
        bias=bound.get("bias") is not None,
        device="meta",
    )
    layer.weight, layer.bias = nn.Parameter(weight), None if layer.bias is None else nn.Parameter(bound["bias"])
    return convert_convolution(layer, call, tracer)


def convert_linear(module: nn.Linear, call: Call, tracer: Tracer) -> Traced:
    """nn.Linear after a flattening: the convolution that fills what is left of the patch."""
    source = call.source
    flat = tracer.flattened.get(source.index)
    if flat is None and len(source.shape) != 2:
        raise InexactLayerError(call.name, "a linear layer must follow a flattening")
    channels, height, width = flat or (module.in_features, 1, 1)
    windows = Window(height), Window(width)
    if tracer.trainable:
        return Traced(SharedConvolution(module, (height, width)), windows)
    weight = module.weight.view(module.out_features, channels, height, width)
    return Traced(Convolution(weight, module.bias), windows)


def convert_pool(module: nn.Module, call: Call, tracer: Tracer) -> Traced:
    """nn.MaxPool2d and nn.AvgPool2d in floor mode without padding."""
    tracer.need_spatial(call)
    settings: Any = module
    dilation = getattr(settings, "dilation", 1)
    return _any_pool(
        call,
        tracer,
        kernel=settings.kernel_size,
        stride=settings.stride,
        padding=settings.padding,
        dilation=dilation,
        ceil_mode=settings.ceil_mode,
        average=isinstance(module, nn.AvgPool2d),
        divisor=getattr(settings, "divisor_override", None),
        indices=getattr(settings, "return_indices", False),
    )


def convert_functional_pool(call: Call, tracer: Tracer) -> Traced:
    """F.max_pool2d and F.avg_pool2d."""
    average = "avg" in call.target.__name__
    rest = ("ceil_mode", "count_include_pad", "divisor_override") if average else ("dilation", "ceil_mode")
    names = ("input", "kernel_size", "stride", "padding", *rest)
    bound = dict(zip(names, call.args, strict=False)) | call.kwargs
    return _any_pool(
        call,
        tracer,
        kernel=bound["kernel_size"],
        stride=bound.get("stride"),
        padding=bound.get("padding", 0),
        dilation=bound.get("dilation", 1),
        ceil_mode=bound.get("ceil_mode", False),
        average=average,
        divisor=bound.get("divisor_override"),
        indices=bound.get("return_indices", False),
    )


def _any_pool(call: Call, tracer: Tracer, **settings: Any) -> Traced:
    if _pair(settings["padding"]) != (0, 0):
        raise InexactLayerError(call.name, f"padding {settings['padding']!r} puts invented pixels inside the patch")
    if settings["indices"]:
        raise InexactLayerError(call.name, "return_indices gives places within the patch")
    windows = _windows(settings["kernel"], settings["stride"] or settings["kernel"], settings["dilation"])
    extent = tracer.extent(call.source.index)
    whole = all((e - w.reach) % w.stride == 0 for e, w in zip(extent, windows, strict=True))
    if settings["ceil_mode"] and not whole:
        raise InexactLayerError(call.name, "ceil_mode cuts the last window off at the edge of the patch")
    kernel = _kernel(windows)
    return Traced(AveragePool(kernel, settings["divisor"]) if settings["average"] else MaxPool(kernel), windows)


def convert_adaptive_pool(module: nn.Module, call: Call, tracer: Tracer) -> Traced:
    """nn.AdaptiveAvgPool2d and nn.AdaptiveMaxPool2d, where their windows are equal."""
    output = module.output_size if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)) else 1
    return _adaptive(call, tracer, _pair(output), average=isinstance(module, nn.AdaptiveAvgPool2d))


def convert_functional_adaptive(call: Call, tracer: Tracer) -> Traced:
    """F.adaptive_avg_pool2d and F.adaptive_max_pool2d."""
    output = call.kwargs.get("output_size", call.args[-1])
    return _adaptive(call, tracer, _pair(output), average="avg" in call.target.__name__)


def _adaptive(call: Call, tracer: Tracer, output: tuple[Any, Any], *, average: bool) -> Traced:
    """Equal, abutting windows; anything else depends on where in the patch a pixel lies."""
    extent = tracer.extent(call.source.index)
    wanted = tuple(e if o is None else o for e, o in zip(extent, output, strict=True))
    if any(e % o for e, o in zip(extent, wanted, strict=True)):
        raise InexactLayerError(call.name, f"pooling {extent} adaptively to {wanted} needs windows of unequal size")
    kernel = (extent[0] // wanted[0], extent[1] // wanted[1])
    return Traced(AveragePool(kernel) if average else MaxPool(kernel), _windows(kernel, kernel, 1))


def convert_reduce_space(call: Call, tracer: Tracer) -> Traced:
    """x.mean((2, 3)), x.amax((2, 3)), x.sum((2, 3)): a pooling over the whole patch, if it is over both axes."""
    source = call.source
    dims = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
    if len(source.shape) != 4 or dims is None or sorted(d % 4 for d in _tuple(dims)) != [2, 3]:
        raise InexactLayerError(call.name, "only a reduction over both spatial axes is a pooling")
    kernel = tracer.extent(source.index)
    name = call.target if isinstance(call.target, str) else call.target.__name__
    layers = {"mean": AveragePool(kernel), "sum": AveragePool(kernel, 1), "amax": MaxPool(kernel)}
    return Traced(layers[name], _windows(kernel, kernel, 1))


def _windows(kernel: Any, stride: Any, dilation: Any) -> tuple[Window, Window]:
    sizes = zip(_pair(kernel), _pair(stride), _pair(dilation), strict=True)
    rows, cols = (Window(*axis) for axis in sizes)
    return rows, cols


def _pair(value: Any) -> tuple[Any, Any]:
    pair = tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value, value)
    return pair if len(pair) == 2 else (pair[0], pair[0])


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
