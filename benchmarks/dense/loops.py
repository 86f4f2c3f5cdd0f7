"""The classifier patch by patch, in every way that torch and MONAI have: what the dense net is compared with."""

from __future__ import annotations

import copy
import importlib.util
import shutil
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.dense.subjects import Subject
from scanner.dense import Form, densify, score_patches
from scanner.dense.conversion.patchwise import count_positions
from scanner.dense.network.heads import join_heads


class PatchLoop(nn.Module):
    """A classifier on every `stride`-th patch, as it is: (1, C, H, W) -> (1, classes, rows, cols)."""

    def __init__(self, net: Any, subject: Subject, stride: int, *, batch: int) -> None:
        super().__init__()
        self.net = net
        self.patch_size = subject.patch_size
        self.stride = stride
        self.batch = batch
        #: Memory layout of the patches.
        self.layout = torch.contiguous_format

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every patch."""
        image = image.contiguous(memory_format=self.layout)
        return join_heads(score_patches(self.net, image, self.patch_size, self.stride, batch_size=self.batch))


def plain_loop(subject: Subject, stride: int, *, batch: int) -> PatchLoop:
    """Contiguous memory and nothing else: what a newcomer writes."""
    return PatchLoop(subject.net, subject, stride, batch=batch)


def channels_last_loop(subject: Subject, stride: int, *, batch: int) -> PatchLoop:
    """Weights and patches with the channels of a pixel side by side."""
    net = copy.deepcopy(subject.net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loop = PatchLoop(net, subject, stride, batch=batch)
    loop.layout = torch.channels_last
    return loop


def fused_loop(subject: Subject, stride: int, *, batch: int) -> PatchLoop:
    """BatchNorm in the weights, activations in the convolutions: the dense net's own layers at the patches' strides."""
    graph = densify(subject.net, subject.patch_size).graph
    whole = 1
    for node in graph.rows:
        whole *= node.window.stride
    net = densify(subject.net, subject.patch_size, whole, form=Form.DILATION)  # of one patch it makes one score
    loop = PatchLoop(_Flat(net), subject, stride, batch=batch)
    loop.layout = torch.channels_last
    return loop


def compiled_loop(subject: Subject, stride: int, *, batch: int) -> PatchLoop | None:
    """By torch.compile; None without a C++ compiler."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        return None
    loop = channels_last_loop(subject, stride, batch=batch)
    loop.net = torch.compile(loop.net, dynamic=False)
    return loop


def monai_loop(subject: Subject, stride: int, *, batch: int) -> nn.Module | None:
    """MONAI's splitter and batches of what it yields; None where it is not installed."""
    if importlib.util.find_spec("monai") is None:
        return None
    return _MonaiLoop(subject, stride, batch=batch)


class _Flat(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, patches: Tensor) -> Tensor:
        return self.net(patches).flatten(1)  # type: ignore[no-any-return]


class _MonaiLoop(nn.Module):
    def __init__(self, subject: Subject, stride: int, *, batch: int) -> None:
        super().__init__()
        from monai.inferers.splitter import SlidingWindowSplitter

        self.net = subject.net
        self.patch_size = subject.patch_size
        self.stride = stride
        self.batch = batch
        size = subject.patch_size
        self.split = SlidingWindowSplitter((size, size), overlap=size - stride, pad_mode=None)

    def forward(self, image: Tensor) -> Tensor:
        rows, cols = count_positions(image, self.patch_size, self.stride)
        # Without padding it splits whole patches only, row by row.
        used = image[:, :, : (rows - 1) * self.stride + self.patch_size, : (cols - 1) * self.stride + self.patch_size]
        patches = (patch for patch, _place in self.split(used))
        scores = torch.cat([self.net(batch) for batch in _batches(patches, self.batch)])
        return scores.view(1, rows, cols, -1).permute(0, 3, 1, 2)


def _batches(patches: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    while some := list(islice(patches, size)):
        yield torch.cat(some)
