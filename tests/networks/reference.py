"""The slow, obvious programs that the tests compare with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanner.labels.targets import IGNORED


def patch_by_patch(net: nn.Module, images: Tensor, patch_size: int | tuple[int, int], stride: int = 1) -> Tensor:
    """(N, C, H, W) -> (N, classes, rows, cols): cut each patch out, classify it, write its answer down."""
    _, _, height, width = images.shape
    patch_rows, patch_cols = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    rows = []
    for top in range(0, height - patch_rows + 1, stride):
        answers = []
        for left in range(0, width - patch_cols + 1, stride):
            patch = images[:, :, top : top + patch_rows, left : left + patch_cols].contiguous()
            answers.append(net(patch).flatten(1))
        rows.append(torch.stack(answers, dim=2))
    return torch.stack(rows, dim=2)


def patch_loss(net: nn.Module, images: Tensor, targets: Tensor, *, patch_size: int, stride: int) -> Tensor:
    """The mean of `dense_loss`, patch by patch. Equal, and with equal gradients, if `net` is in eval mode."""
    total, count = images.new_zeros(()), 0
    for row in range(targets.shape[1]):
        for col in range(targets.shape[2]):
            top, left = row * stride, col * stride
            patches = images[:, :, top : top + patch_size, left : left + patch_size]
            wanted = targets[:, row, col]
            total = total + F.cross_entropy(net(patches), wanted, ignore_index=IGNORED, reduction="sum")
            count += int((wanted != IGNORED).sum())
    return total / count
