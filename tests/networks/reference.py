"""The slow, obvious programs that the tests compare with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
