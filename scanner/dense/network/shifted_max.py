"""The maximum of shifted views with a gradient of its own: autograd's for torch.maximum is most of a training step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scanner.dense.network.views import shifted_views


class _ShiftedMax(torch.autograd.Function):
    """Takes the views one by one; remembers by how much each was above the best before it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, dilation: int, dim: int) -> Tensor:
        best, *others = shifted_views(x, kernel, stride, dilation, dim)
        leads = []
        for view in others:
            leads.append(view - best)
            best = torch.maximum(best, view)
        ctx.save_for_backward(*leads)
        ctx.shape, ctx.window = x.shape, (kernel, stride, dilation, dim)
        return best

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        total = torch.empty(
            ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last
        ).zero_()
        first, *others = shifted_views(total, *ctx.window)
        for view, lead in zip(reversed(others), reversed(ctx.saved_tensors), strict=True):
            own = torch.ops.aten.threshold_backward(gradient, lead, 0)  # Where it led; of equals, the first keeps it.
            view.add_(own)
            gradient = gradient - own
        first.add_(gradient)
        return total, None, None, None, None


def shifted_max(x: Tensor, kernel: int, stride: int, dilation: int, dim: int) -> Tensor:
    """The maximum under a window along one axis; of equal values the first has the gradient, as in max_pool2d."""
    if kernel == 1:
        return shifted_views(x, kernel, stride, dilation, dim)[0]
    result: Tensor = _ShiftedMax.apply(x, kernel, stride, dilation, dim)  # type: ignore[no-untyped-call]
    return result
