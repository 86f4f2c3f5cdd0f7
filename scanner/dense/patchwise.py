"""Patch by patch: the slow, obvious scan. Our oracle, our baseline, and the way for networks that cannot be dense."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scanner.errors import SettingsError


class PatchwiseNet(nn.Module):
    """Runs a patch classifier on every `stride`-th patch: called like DenseNet, and hundreds of times dearer."""

    def __init__(self, net: nn.Module, patch_size: int, stride: int = 1, *, batch_size: int = 64) -> None:
        super().__init__()
        self.net = net
        self.patch_size = patch_size
        self.stride = stride
        self.batch_size = batch_size
        self.form = "patch"

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, rows, cols)."""
        return score_patches(self.net, images, self.patch_size, self.stride, batch_size=self.batch_size)


def score_patches(net: nn.Module, images: Tensor, patch_size: int, stride: int = 1, *, batch_size: int = 64) -> Tensor:
    """The classifier's answer for each patch, one batch after another.

    Parameters
    ----------
    net : nn.Module
        (N, C, P, P) -> (N, classes).
    images : Tensor of shape (N, C, H, W)
    patch_size, stride : int
        In pixels.

    Returns
    -------
    Tensor of shape (N, classes, rows, cols)
        Row r, column c is the patch whose top left is (r * stride, c * stride).
    """
    if min(images.shape[2:]) < patch_size:
        size = f"{images.shape[2]} x {images.shape[3]}"
        raise SettingsError(f"image of {size} pixels is smaller than a patch of {patch_size}")
    views = images.unfold(2, patch_size, stride).unfold(3, patch_size, stride)  # (N, C, rows, cols, P, P)
    count, _, rows, cols = views.shape[:4]
    views = views.permute(0, 2, 3, 1, 4, 5)  # (N, rows, cols, C, P, P), not copied: a copy would be P * P images
    answers = []
    for start in range(0, count * rows * cols, batch_size):
        index = torch.arange(start, min(start + batch_size, count * rows * cols), device=images.device)
        patches = views[index // (rows * cols), index // cols % rows, index % cols]  # (B, C, P, P)
        answers.append(net(patches).reshape(len(index), -1))
    return torch.cat(answers).view(count, rows, cols, -1).permute(0, 3, 1, 2)
