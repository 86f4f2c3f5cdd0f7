"""A network as a list of steps: what an imported file becomes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ModelDamagedError

#: A file with more steps than any classifier has is not one.
MAX_STEPS = 20_000


@dataclass(frozen=True)
class Ref:
    """The value of an earlier step; 0 is the image."""

    index: int


@dataclass(frozen=True)
class Constant:
    """A tensor that the file holds."""

    name: str


@dataclass(frozen=True)
class _Step:
    layer: str
    args: tuple[Any, ...]


class Apply(nn.Module):
    """A function as a layer, so that it has a name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        """What the function says."""
        return self.function(*args)


class Program(nn.Module):
    """Runs its steps one after another: (N, C, P, P) -> what the file says."""

    def __init__(self, builder: ProgramBuilder, outputs: list[Ref]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(builder.layers)
        self._steps = tuple(builder.steps)
        self._outputs = tuple(outputs)
        for name, tensor in builder.constants.items():
            self.register_buffer(name, tensor)

    def forward(self, image: Tensor) -> Any:
        """All outputs of the file, one by itself."""
        values: list[Any] = [image]
        for step in self._steps:
            values.append(self.layers[step.layer](*self._resolve(step.args, values)))
        found = tuple(values[output.index] for output in self._outputs)
        return found[0] if len(found) == 1 else found

    def _resolve(self, args: Any, values: list[Any]) -> Any:
        if isinstance(args, Ref):
            return values[args.index]
        if isinstance(args, Constant):
            return getattr(self, args.name)
        if isinstance(args, (tuple, list)):
            return type(args)(self._resolve(arg, values) for arg in args)
        return args


class ProgramBuilder:
    """Collects steps and the tensors that they use."""

    def __init__(self) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.steps: list[_Step] = []
        self.constants: dict[str, Tensor] = {}

    def add(self, name: str, layer: nn.Module | Callable[..., Any], *args: Any) -> Ref:
        """Append a step; `args` may hold Ref, Constant, tensors, plain values, and lists of these."""
        if len(self.steps) >= MAX_STEPS:
            raise ModelDamagedError(f"more than {MAX_STEPS} operations")
        key = self._free_name(name)
        self.layers[key] = layer if isinstance(layer, nn.Module) else Apply(layer)
        self.steps.append(_Step(key, tuple(self._kept(arg) for arg in args)))
        return Ref(len(self.steps))

    def finish(self, outputs: list[Ref]) -> Program:
        """The network."""
        return Program(self, outputs).eval()

    def _kept(self, arg: Any) -> Any:
        if isinstance(arg, (tuple, list)):
            return type(arg)(self._kept(part) for part in arg)
        if not isinstance(arg, Tensor):
            return arg
        name = f"constant_{len(self.constants)}"
        self.constants[name] = arg
        return Constant(name)

    def _free_name(self, name: str) -> str:
        plain = re.sub(r"\W+", "_", name).strip("_") or "layer"
        key, number = plain, 1
        while key in self.layers or hasattr(nn.ModuleDict, key):
            number += 1
            key = f"{plain}_{number}"
        return key


@dataclass(frozen=True)
class Window:
    """How a kernel slides: each per axis, rows first."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    dilation: tuple[int, int] = (1, 1)


def convolution(weight: Tensor, bias: Tensor | None, window: Window, *, groups: int = 1) -> nn.Conv2d:
    """A convolution with these weights, (maps, channels / groups, rows, cols)."""
    if weight.dim() != 4:
        raise ModelDamagedError(f"a convolution over {weight.dim() - 2} axes; only images are known")
    layer = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        window.stride,
        window.padding,
        window.dilation,
        groups,
        bias=bias is not None,
        device="meta",
    )
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return layer


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with these weights, (outputs, inputs)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return layer


def batch_norm(scale: Tensor | None, shift: Tensor | None, mean: Tensor, variance: Tensor, eps: float) -> nn.Module:
    """A BatchNorm in eval mode with these statistics."""
    layer = nn.BatchNorm2d(len(mean), eps=eps, affine=scale is not None and shift is not None, dtype=mean.dtype)
    layer.running_mean, layer.running_var = mean.contiguous(), variance.contiguous()
    if scale is not None and shift is not None:
        layer.weight = nn.Parameter(scale.contiguous(), requires_grad=False)
        layer.bias = nn.Parameter(shift.contiguous(), requires_grad=False)
    return layer.eval()


def as_float(tensor: Tensor) -> Tensor:
    """Weights in float32, unless they are finer."""
    return tensor if tensor.dtype in {torch.float32, torch.float64} else tensor.float()
