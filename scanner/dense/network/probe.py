"""Following one patch through a classifier: torch.fx names its layers, a run on two patches their sizes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from scanner.errors import InexactLayerError

#: Held while a network is traced, and run beside that: torch.fx replaces the calls of all modules meanwhile, in every
#: thread. Two tracings at once leave its replacement behind, and no network can be traced any more.
TRACING = threading.RLock()
_PROBE_PATCHES = 2
#: Numbers of channels that are tried where no layer suggests one.
_MOST_GUESSED = 16


@dataclass(frozen=True)
class Recording:
    """A classifier as a list of operations, and the value that each had for the probing patches."""

    module: fx.GraphModule
    values: dict[fx.Node, Any]


def record(net: nn.Module, patch_shape: tuple[int, int]) -> Recording:
    """Trace `net` and run it once on two patches.

    Raises
    ------
    InexactLayerError
        The classifier cannot be traced, or a layer fails on patches of this size.
    """
    with TRACING:
        traced = _symbolic_trace(net)
        traced.graph.eliminate_dead_code()  # What no output needs may be as inexact as it likes.
        return Recording(traced, _run_probe(traced, _patches(net, image_channels(net, patch_shape), patch_shape)))


def _symbolic_trace(net: nn.Module) -> fx.GraphModule:
    try:
        # torch.fx looks inside the module it is given: a single torch layer is traced as a chain of one.
        root = nn.Sequential(net) if isinstance(net, _LEAVES) else net
        return fx.GraphModule(root, _LeafTracer().trace(root))
    except (fx.proxy.TraceError, TypeError, RuntimeError, AttributeError) as error:
        raise InexactLayerError(type(net).__name__, f"its forward cannot be traced by torch.fx: {error}") from error


class _LeafTracer(fx.Tracer):
    """Modules of torch are leaves even if parametrised or subclassed, but not if the subclass computes otherwise."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_plain = any(isinstance(m, kind) and type(m).forward is kind.forward for kind in _LEAVES)
        return super().is_leaf_module(m, module_qualified_name) or is_plain


_LEAVES = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def image_channels(net: nn.Module, patch_shape: tuple[int, int]) -> int:
    """Channels that `net` reads: the first number, of those that its layers suggest, that it runs with.

    The likeliest if it runs with none; whoever runs it then names the layer that fails.
    """
    named = getattr(net, "image_channels", None)
    if isinstance(named, int):
        return named
    fitting = (count for count in _likely_channels(net, patch_shape) if _runs(net, count, patch_shape))
    return next(fitting, next(_likely_channels(net, patch_shape)))


def _likely_channels(net: nn.Module, patch_shape: tuple[int, int]) -> Iterator[int]:
    """Numbers of channels, the likeliest first: what layers want of an image, of a flattened one, and small numbers."""
    layers = list(net.modules())
    yield from dict.fromkeys(layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d))
    yield from dict.fromkeys(layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d))
    yield from dict.fromkeys(layer.num_parameters for layer in layers if isinstance(layer, nn.PReLU))
    yield from _flattened_channels(net, patch_shape)
    yield from (3, 1, 2, *range(4, _MOST_GUESSED + 1))


def _flattened_channels(net: nn.Module, patch_shape: tuple[int, int]) -> Iterator[int]:
    """What the first layer on flattened patches wants, by what reaches it of patches of one channel."""
    reached: list[tuple[int, int]] = []

    def note(layer: Any, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() > 1:
            wanted = layer.in_features if isinstance(layer, nn.Linear) else layer.num_features
            reached.append((wanted, inputs[0].shape[1]))

    flat = [layer for layer in net.modules() if isinstance(layer, (nn.Linear, nn.BatchNorm1d))]
    hooks = [layer.register_forward_pre_hook(note) for layer in flat]
    try:
        _runs(net, 1, patch_shape)
    finally:
        for hook in hooks:
            hook.remove()
    yield from (wanted // given for wanted, given in reached[:1] if wanted % given == 0)


@torch.no_grad()
def _runs(net: nn.Module, channels: int, patch_shape: tuple[int, int]) -> bool:
    """True if `net` answers for each of the probing patches of so many channels."""
    try:
        answer = net(_patches(net, channels, patch_shape))
    except (RuntimeError, ValueError, TypeError, IndexError):  # Most likely for the number of channels.
        return False
    answers = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (tuple, list)) else [answer]
    return all(len(part) == _PROBE_PATCHES for part in answers if isinstance(part, Tensor) and part.dim())


def _patches(net: nn.Module, channels: int, patch_shape: tuple[int, int]) -> Tensor:
    parameter = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(()))
    shape = (_PROBE_PATCHES, channels, *patch_shape)
    # Not constant: a layer that divides by a spread must not divide by zero.
    values = torch.linspace(-1, 1, torch.Size(shape).numel())
    return values.view(shape).to(device=parameter.device, dtype=parameter.dtype)


class _Recorder(fx.Interpreter):
    """Runs the graph and keeps every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        try:
            self.values[n] = super().run_node(n)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error).split("\n")[0]
            raise InexactLayerError(qualified_name(n), f"it fails on a patch of this size: {reason}") from error
        return self.values[n]


def _run_probe(traced: fx.GraphModule, probe: Tensor) -> dict[fx.Node, Any]:
    recorder = _Recorder(traced)
    with torch.no_grad():
        recorder.run(probe)
    return recorder.values


def qualified_name(node: fx.Node) -> str:
    """Name of the module that is called, or of the module whose forward calls this function."""
    if node.op == "call_module":
        return str(node.target)
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return f"{stack[-1][0]}.{target}" if stack else str(target)
