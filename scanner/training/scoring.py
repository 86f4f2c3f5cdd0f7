"""The network in training, applied to whole fields: fast, at its own stride, for mining."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.columns.p4mnet import P4MNet
from models.normalisation import NormalisationKind, StainStatistics
from models.pixel_tables import apply_table, normalisation_table
from scanner.dense.capabilities import capabilities
from scanner.training.loss import apply_convolutionally
from scanner.training.recipe import Recipe
from scanner.training.stain import Stain


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bfloat16 where that is fast, else nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=capabilities().has_fast_bfloat16(device))


def fold_normalisation(net: nn.Module) -> nn.Module:
    """A copy of `net` in eval mode with each BatchNorm folded into the convolution before it: the same, faster."""
    net = net.written_out() if isinstance(net, P4MNet) else copy.deepcopy(net).eval()
    for part in net.modules():
        if isinstance(part, nn.Sequential):
            for index in range(len(part) - 1):
                before, after = part[index], part[index + 1]
                if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    part[index], part[index + 1] = fuse_conv_bn_eval(before, after), nn.Identity()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def score_field(
    net: nn.Module, pixels: npt.NDArray[np.uint8], recipe: Recipe, *, stain: Stain | None
) -> npt.NDArray[np.float32]:
    """Probability of a figure at every `network_stride`-th pixel of a field.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, C), uint8
        Mirrored at its border, as a scan does.
    stain : Stain or None
        What a scan would have measured, of images that have one.

    Returns
    -------
    ndarray of shape (ceil(H / stride), ceil(W / stride)), float32
    """
    parameter = next(net.parameters())
    before, after = recipe.patch_size // 2, recipe.patch_size + recipe.network_stride
    padded = np.pad(pixels, ((before, after), (before, after), (0, 0)), mode="reflect")
    images = apply_table(torch.from_numpy(padded)[None], _table(recipe, stain)).to(parameter.device)
    with torch.inference_mode(), mixed_precision(parameter.device):
        logits = apply_convolutionally(net, images)
    rows, cols = (-(-size // recipe.network_stride) for size in pixels.shape[:2])
    figures = torch.softmax(logits.float(), dim=1)[0, 1:, :rows, :cols].sum(dim=0)  # Of whatever kind.
    probability: npt.NDArray[np.float32] = figures.cpu().numpy()
    return probability


def _table(recipe: Recipe, stain: Stain | None) -> torch.Tensor:
    if recipe.normalisation is NormalisationKind.AFFINE or stain is None:
        return normalisation_table(recipe.reference)
    statistics = StainStatistics(tuple(stain.mean.tolist()), tuple(stain.std.tolist()))
    return normalisation_table(recipe.reference, statistics)
