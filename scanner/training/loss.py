"""Dense learning (Masci et al. 2013, arXiv 1302.1690): a loss at every output pixel, in one pass over a crop.

The network is applied fully convolutionally at its own stride: `Flatten` and the `Linear` after it become the
convolution that they are, on the same parameters, so that the gradient is that of all patches of the crop at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanner.labels.targets import IGNORED


def apply_convolutionally(net: nn.Module, images: Tensor) -> Tensor:
    """Logits of every patch whose top left lies on a multiple of the network stride.

    Parameters
    ----------
    net : Module
        A column: `features`, then `classifier`, both Sequential, patch (N, C, P, P) -> logits (N, classes).
    images : Tensor of shape (N, C, H, W)

    Returns
    -------
    Tensor of shape (N, classes, (H - P) // stride + 1, (W - P) // stride + 1)
    """
    maps = images
    for layer in [*net.get_submodule("features").children(), *net.get_submodule("classifier").children()]:
        if isinstance(layer, nn.Flatten):
            continue
        maps = _linear_as_convolution(layer, maps) if isinstance(layer, nn.Linear) else layer(maps)
    return maps


def dense_loss(
    net: nn.Module, images: Tensor, targets: Tensor, *, smoothing: float = 0.0, weights: Sequence[float] = ()
) -> Tensor:
    """Mean cross-entropy over the outputs of all crops that count.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W)
    targets : Tensor of shape (N, out_h, out_w), int64
        Class of each output, or IGNORED.
    smoothing : float
        Share of the target that goes to the other class: labels are noisy.
    weights : sequence of float
        How much an output of each class counts; all the same if left out.
    """
    logits = apply_convolutionally(net, images)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # Autocast leaves bfloat16.
    weight = logits.new_tensor(weights) if weights else None
    return F.cross_entropy(logits, targets, weight, ignore_index=IGNORED, label_smoothing=smoothing)


def _linear_as_convolution(layer: nn.Linear, maps: Tensor) -> Tensor:
    channels = maps.shape[1]
    side = math.isqrt(layer.in_features // channels)
    if channels * side * side != layer.in_features:
        raise ValueError(
            f"a linear layer of {layer.in_features} inputs does not fit a square of {channels} feature maps"
        )
    weight = layer.weight.view(layer.out_features, channels, side, side)
    return F.conv2d(maps, weight.contiguous(memory_format=torch.channels_last), layer.bias)
