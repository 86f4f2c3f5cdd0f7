"""Patch by patch: the slow, obvious scan. Our oracle, our baseline, and the way for networks that cannot be dense."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from scanner.dense.network.heads import Heads, join_heads
from scanner.dense.network.plan import PatchSize, shape_of_patch
from scanner.errors import SettingsError

#: Patches that go through the network together: on a CPU as few as stay in its cache, on a GPU enough to fill it.
#: Measured on 64 to 224 px patches, ResNet-18 and EfficientNet-B0 among them: 4 is the fastest of 4, 16, 64.
_CPU_BATCH, _GPU_BATCH = 4, 128


class PatchwiseNet(nn.Module):
    """Runs a patch classifier on every `stride`-th patch: called like DenseNet, and hundreds of times dearer.

    Weights are copied into channels-last memory, which takes 0.5 to 0.9 of the time on a CPU.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 4), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(8 * 15 * 15, 2)
    ... ).eval()
    >>> from scanner.dense import PatchwiseNet
    >>> PatchwiseNet(net, 33, stride=8)(torch.rand(1, 3, 49, 57)).shape
    torch.Size([1, 2, 3, 4])
    """

    def __init__(
        self, net: nn.Module, patch_size: PatchSize, stride: int = 1, *, batch_size: int | None = None
    ) -> None:
        super().__init__()
        # TorchScript decides on its own how its weights lie.
        is_script = any(isinstance(module, torch.jit.ScriptModule) for module in net.modules())
        layout: Any = {"memory_format": torch.channels_last}
        self.net = net if is_script else copy.deepcopy(net).to(**layout)
        self.patch_size = patch_size
        self.stride = stride
        self.batch_size = batch_size
        self.form = "patch"

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) -> (N, classes, rows, cols)."""
        batch_size = self.batch_size or (_CPU_BATCH if images.device.type == "cpu" else _GPU_BATCH)
        images = images.contiguous(memory_format=torch.channels_last)
        return score_patches(self.net, images, self.patch_size, self.stride, batch_size=batch_size)


def score_patches(
    net: nn.Module, images: Tensor, patch_size: PatchSize, stride: int = 1, *, batch_size: int = 64
) -> Any:
    """The classifier's answer for each patch, one batch after another.

    Parameters
    ----------
    net : nn.Module
        (N, C, P, P) -> (N, classes), or several heads of that form.
    images : Tensor of shape (N, C, H, W)
    patch_size : int, or (rows, cols)
    stride : int
        In pixels.

    Returns
    -------
    Tensor of shape (N, classes, rows, cols), or a tuple or dict of such
        Row r, column c is the patch whose top left is (r * stride, c * stride).

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 4), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(8 * 15 * 15, 2)
    ... ).eval()
    >>> from scanner.dense import densify, score_patches
    >>> image = torch.rand(1, 3, 49, 57)
    >>> slow, fast = score_patches(net, image, 33), densify(net, 33)(image)
    >>> slow.shape, torch.allclose(slow, fast, rtol=0, atol=1e-5)
    (torch.Size([1, 2, 17, 25]), True)
    """
    rows, cols = count_positions(images, patch_size, stride)
    patch_rows, patch_cols = shape_of_patch(patch_size)
    views = images.unfold(2, patch_rows, stride).unfold(3, patch_cols, stride)  # (N, C, rows, cols, P, P)
    count, heads = len(images), None
    # (N, rows, cols, P, P, C), not copied: a copy would be P * P images.
    views = views.permute(0, 2, 3, 4, 5, 1)
    layout = torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    answers = []
    for start in range(0, count * rows * cols, batch_size):
        index = torch.arange(start, min(start + batch_size, count * rows * cols), device=images.device)
        patches = views[index // (rows * cols), index // cols % rows, index % cols]  # (B, P, P, C)
        answer = net(patches.permute(0, 3, 1, 2).contiguous(memory_format=layout))  # (B, C, P, P)
        heads = heads or Heads.of(answer)
        answers.append(join_heads(answer).reshape(len(index), -1))
    scores = torch.cat(answers).view(count, rows, cols, -1).permute(0, 3, 1, 2)
    return scores if heads is None else heads.split(scores)


def count_positions(images: Tensor, patch_size: PatchSize, stride: int) -> tuple[int, int]:
    """Rows and columns of patches in `images`; SettingsError if there are none."""
    lengths = shape_of_patch(patch_size)
    rows, cols = ((size - length) // stride + 1 for size, length in zip(images.shape[2:], lengths, strict=True))
    if rows < 1 or cols < 1:
        size = f"{images.shape[2]} x {images.shape[3]}"
        raise SettingsError(f"image of {size} pixels is smaller than a patch of {patch_size}")
    return rows, cols
