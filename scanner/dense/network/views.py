"""Shifted views: a window of k pixels along one axis as k views of the same map, one for each of its pixels."""

from __future__ import annotations

from torch import Tensor


def shifted_views(x: Tensor, kernel: int, stride: int, dilation: int, dim: int) -> list[Tensor]:
    """View i holds pixel i of every window, in the order of the windows.

    Parameters
    ----------
    x : Tensor of shape (N, C, H, W)
    kernel, stride, dilation : int
        Of the window, along `dim`.
    dim : int
        2 for rows, 3 for columns.

    Returns
    -------
    list of Tensor
        `kernel` views of equal shape.
    """
    count = (x.shape[dim] - (kernel - 1) * dilation - 1) // stride + 1
    last = (count - 1) * stride
    slices = [slice(start, start + last + 1, stride) for start in range(0, kernel * dilation, dilation)]
    return [x[:, :, taken] if dim == 2 else x[:, :, :, taken] for taken in slices]
