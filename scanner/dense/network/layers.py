"""The layers of a dense net, each free of any layout: a window's stride and dilation are given at each call.

`dilation.py` and `fragments.py` decide how a layer's values lie in memory; what a layer computes is only here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.elementwise import sigmoid
from scanner.dense.network.shifted_max import shifted_max
from scanner.dense.network.views import shifted_views


class Step(NamedTuple):
    """Rows and columns, of a stride or a dilation."""

    rows: int
    cols: int


#: Label of a Pointwise that changes nothing: a flattening, until a linear layer follows.
IDENTITY = "identity"
#: Activations that oneDNN computes inside the convolution, for a tenth of their cost on their own.
FUSED = {"tanh", "relu", "sigmoid"}
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": sigmoid,
}


class Convolution(nn.Module):
    """A valid convolution, or a linear layer as the convolution that fills the patch."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, groups: int = 1, activation: str = "none") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone(memory_format=torch.channels_last), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.groups = groups
        self.activation = activation

    def forward(self, x: Tensor, stride: Step, dilation: Step) -> Tensor:
        """(N, C, H, W) -> (N, maps, h, w)."""
        if _fuses(x) and self.activation in FUSED:
            return _fused_convolution(self, x, stride, dilation)
        out = F.conv2d(x, self.weight, self.bias, stride, 0, dilation, self.groups)
        return _ACTIVATIONS[self.activation](out)


class SharedConvolution(nn.Module):
    """As Convolution, but on the classifier's own parameters: gradients reach them, nothing is fused."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.layer = layer
        self.kernel = kernel

    def forward(self, x: Tensor, stride: Step, dilation: Step) -> Tensor:
        """(N, C, H, W) -> (N, maps, h, w)."""
        weight = self.layer.weight.view(self.layer.weight.shape[0], -1, *self.kernel)
        groups = self.layer.groups if isinstance(self.layer, nn.Conv2d) else 1
        return F.conv2d(x, weight, self.layer.bias, stride, 0, dilation, groups)


class MaxPool(nn.Module):
    """The maximum under a window."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.kernel = Step(*kernel)

    def forward(self, x: Tensor, stride: Step, dilation: Step) -> Tensor:
        """(N, C, H, W) -> (N, C, h, w)."""
        if torch.is_grad_enabled() and x.requires_grad:
            # Columns first: of equal maxima the first of the window wins, row by row, as in max_pool2d.
            x = shifted_max(x, self.kernel.cols, stride.cols, dilation.cols, 3)
            return shifted_max(x, self.kernel.rows, stride.rows, dilation.rows, 2)
        # Rows, then columns, by shifted views: several times faster than max_pool2d at stride 1.
        x = _reduce_axis(x, torch.maximum, self.kernel.rows, stride.rows, dilation.rows, dim=2)
        return _reduce_axis(x, torch.maximum, self.kernel.cols, stride.cols, dilation.cols, dim=3)


class AveragePool(nn.Module):
    """The mean under a window."""

    def __init__(self, kernel: tuple[int, int], divisor: int | None = None) -> None:
        super().__init__()
        self.kernel = Step(*kernel)
        self.divisor = divisor or kernel[0] * kernel[1]

    def forward(self, x: Tensor, stride: Step, dilation: Step) -> Tensor:
        """(N, C, H, W) -> (N, C, h, w)."""
        x = _reduce_axis(x, torch.add, self.kernel.rows, stride.rows, dilation.rows, dim=2)
        return _reduce_axis(x, torch.add, self.kernel.cols, stride.cols, dilation.cols, dim=3) / self.divisor


class Pick(nn.Module):
    """Every stride-th pixel: what a crop or a strided slice leaves."""

    def forward(self, x: Tensor, stride: Step, dilation: Step) -> Tensor:  # noqa: ARG002 - a window of one pixel
        """(N, C, H, W) -> (N, C, h, w)."""
        return x[:, :, :: stride.rows, :: stride.cols]


class ChannelAffine(nn.Module):
    """x * scale + shift per channel: BatchNorm in eval mode."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.view(1, -1, 1, 1))
        self.register_buffer("shift", shift.view(1, -1, 1, 1))
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x * self.scale.to(x.dtype) + self.shift.to(x.dtype)


class Pointwise(nn.Module):
    """A function of the tensors' values at each position alone; several inputs are aligned before.

    Constants are handed to it after the inputs; being buffers, they are of the network's type and on its device.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        module: nn.Module | None = None,
        *,
        label: str = "",
        constants: Sequence[Tensor] = (),
    ) -> None:
        super().__init__()
        self.function = function
        #: The classifier's own module, if it is one.
        self.module = module
        #: The function's name, e.g. "tanh".
        self.label = label
        self._constants = [f"constant_{index}" for index in range(len(constants))]
        for name, constant in zip(self._constants, constants, strict=True):
            self.register_buffer(name, constant)

    def forward(self, *inputs: Tensor) -> Tensor:
        """(N, C, H, W), ... -> (N, C', H, W)."""
        return self.function(*inputs, *(self.get_buffer(name) for name in self._constants))


def _reduce_axis(
    x: Tensor, combine: Callable[[Tensor, Tensor], Tensor], kernel: int, stride: int, dilation: int, *, dim: int
) -> Tensor:
    """`combine` over `kernel` shifted views of one axis."""
    return functools.reduce(combine, shifted_views(x, kernel, stride, dilation, dim))


@functools.cache
def has_bfloat16_convolutions() -> bool:
    """True if oneDNN has convolutions in bfloat16 for this processor, as far as ONEDNN_MAX_CPU_ISA lets it.

    It is the very condition on which the fused ones would raise.
    """
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _fuses(x: Tensor) -> bool:
    is_known = x.dtype is torch.float32 or (x.dtype is torch.bfloat16 and has_bfloat16_convolutions())
    return is_known and x.device.type == "cpu" and not torch.is_grad_enabled() and torch._C._has_mkldnn


def _fused_convolution(layer: Convolution, x: Tensor, stride: Step, dilation: Step) -> Tensor:
    run = torch.ops.mkldnn._convolution_pointwise
    out: Tensor = run(
        x, layer.weight, layer.bias, [0, 0], list(stride), list(dilation), layer.groups, layer.activation, [], ""
    )
    return out
