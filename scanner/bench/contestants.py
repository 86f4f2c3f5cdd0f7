"""Every way of ours to score the same pixels: loops over patches, and the forms of the dense net."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scanner.bench.subjects import Subject
from scanner.dense import Form, PatchwiseNet, densify
from scanner.errors import SettingsError

#: Patches that a loop is timed on: its cost per patch does not depend on their number.
LOOP_PATCHES = 64
#: What a newcomer writes, and what every ratio is taken against.
PLAIN_LOOP = "loop: torch contiguous, batch 16"


@dataclass(frozen=True)
class Contestant:
    """One way from an image (1, 3, H, W) to the logits (1, classes, rows, cols) of its patches."""

    name: str
    net: nn.Module
    #: Loops are timed on a few patches only.
    is_loop: bool = False


def patch_loops(subject: Subject, stride: int, *, batches: tuple[int, ...] = (16,)) -> list[Contestant]:
    """The classifier patch by patch, in both layouts."""
    loops = []
    for batch in batches:
        for layout in (torch.contiguous_format, torch.channels_last):
            net = _InLayout(subject.net, layout)
            name = f"loop: torch {'channels_last' if layout is torch.channels_last else 'contiguous'}, batch {batch}"
            loops.append(
                Contestant(name, PatchwiseNet(net, subject.patch_size, stride, batch_size=batch), is_loop=True)
            )
    return loops


class _InLayout(nn.Module):
    """A classifier whose weights and patches lie in one memory layout."""

    def __init__(self, net: nn.Module, layout: torch.memory_format) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).to(memory_format=layout)  # type: ignore[call-overload]
        self.layout = layout

    def forward(self, patches: Tensor) -> Tensor:
        scores: Tensor = self.net(patches.contiguous(memory_format=self.layout))
        return scores


def dense_forms(subject: Subject, stride: int) -> list[Contestant]:
    """The dense net in each of its forms that this machine has."""
    found = []
    for form in (Form.NATIVE, Form.DILATION, Form.FRAGMENTS):
        try:
            net = densify(subject.net, subject.patch_size, stride, form=form)
        except SettingsError:  # no native form of this network, or on this machine
            continue
        found.append(Contestant(f"dense: {form}", net))
    return found
