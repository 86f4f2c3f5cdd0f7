"""Layers that pad, as a padding and the valid layer after it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from scanner.dense.conversion.convert import convert
from scanner.dense.network.graph import Padding
from scanner.dense.network.layers import Pick
from scanner.dense.network.plan import Window
from scanner.dense.network.trace import Call, Traced, Tracer
from scanner.errors import InexactLayerError

#: Parameters of the functions that pad, in their order.
_SIGNATURES = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
}


def convert_padded(call: Call, tracer: Tracer) -> Traced:
    """As `convert`, but zero padding around the patch is told apart instead of refused."""
    if isinstance(call.target, (nn.ZeroPad2d, nn.ConstantPad2d)):
        return _pad(call, tuple(call.target.padding), float(call.target.value))
    if isinstance(call.target, nn.Module):
        return _convert_module(call.target, call, tracer)
    name = getattr(call.target, "__name__", "")
    if name == "pad":
        return _functional_pad(call, tracer)
    if name in _SIGNATURES:
        bound = dict(zip(_SIGNATURES[name], call.args, strict=False)) | call.kwargs
        return _without_padding(
            call, tracer, bound, lambda plain: replace(call, args=(plain.pop("input"),), kwargs=plain)
        )
    return convert(call, tracer)


def _convert_module(module: nn.Module, call: Call, tracer: Tracer) -> Traced:
    settings: Any = module
    if isinstance(module, nn.Conv2d):
        if module.padding_mode != "zeros":
            raise InexactLayerError(call.name, f"padding by {module.padding_mode!r} depends on the patch")
        bound = {"padding": module.padding}
    elif isinstance(module, nn.MaxPool2d):
        bound = {"padding": settings.padding, "ceil_mode": settings.ceil_mode}
    elif isinstance(module, nn.AvgPool2d):
        bound = {key: getattr(settings, key) for key in ("padding", "ceil_mode", "count_include_pad")}
    else:
        return convert(call, tracer)

    def with_settings(plain: dict[str, Any]) -> Call:
        valid = copy.copy(module)  # Its weights are shared, its settings are its own.
        for key, value in plain.items():
            setattr(valid, key, value)
        return replace(call, target=valid)

    return _without_padding(call, tracer, bound, with_settings)


def _without_padding(
    call: Call, tracer: Tracer, bound: dict[str, Any], with_settings: Callable[[dict[str, Any]], Call]
) -> Traced:
    """The valid layer of `with_settings`, after the padding that `bound` asks for."""
    is_average = "count_include_pad" in bound or getattr(call.target, "__name__", "") == "avg_pool2d"
    padding = bound.get("padding", 0)
    pads = padding not in (0, (0, 0), [0, 0], "valid")
    if is_average and pads and not bound.get("count_include_pad", True):
        raise InexactLayerError(call.name, "it divides by the pixels inside the patch; count_include_pad is exact")
    if is_average and bound.get("ceil_mode"):
        raise InexactLayerError(call.name, "ceil_mode averages over windows that are cut off")
    plain = bound | {"padding": (0, 0) if isinstance(call.target, nn.Conv2d) else 0}
    if "ceil_mode" in bound:
        plain["ceil_mode"] = False
    traced = convert(with_settings(plain), tracer)
    assert traced.windows is not None
    is_max = isinstance(call.target, nn.MaxPool2d) or getattr(call.target, "__name__", "") == "max_pool2d"
    before = _before(padding, traced.windows)
    extents = zip(tracer.extent(call.source.index), call.value.shape[2:], strict=True)
    rows, cols = (
        (pad, max(0, (after - 1) * window.stride + window.reach - length - pad))
        for pad, window, (length, after) in zip(before, traced.windows, extents, strict=True)
    )
    if rows == cols == (0, 0):
        return traced
    return replace(traced, padding=Padding(rows, cols, -math.inf if is_max else 0.0))


def _before(padding: Any, windows: tuple[Window, Window]) -> tuple[int, int]:
    """Pixels before the patch, along both axes; what lies behind it follows from the output's size."""
    if padding == "valid":
        return 0, 0
    if padding == "same":  # torch puts the odd pixel behind
        return (windows[0].reach - 1) // 2, (windows[1].reach - 1) // 2
    pair = tuple(padding) if isinstance(padding, (tuple, list)) else (padding, padding)
    return (pair[0], pair[-1])


def _functional_pad(call: Call, tracer: Tracer) -> Traced:
    names = ("input", "pad", "mode", "value")
    bound = dict(zip(names, call.args, strict=False)) | call.kwargs
    amounts = tuple(bound["pad"])
    if min(amounts) < 0 or not any(amounts):
        return convert(call, tracer)
    if bound.get("mode", "constant") != "constant" or len(amounts) > 4:
        raise InexactLayerError(call.name, f"padding by {bound.get('mode')!r} depends on the patch")
    return _pad(call, amounts, float(bound.get("value") or 0))


def _pad(call: Call, amounts: tuple[int, ...], value: float) -> Traced:
    if min(amounts) < 0:
        raise InexactLayerError(call.name, f"padding {amounts} crops and pads at once")
    left, right, top, bottom = (*amounts, 0, 0)[:4]
    return Traced(Pick(), (Window(), Window()), padding=Padding((top, bottom), (left, right), value))
