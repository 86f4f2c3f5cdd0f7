"""Every way of ours to score the same pixels: loops over patches, and the forms of the dense net."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.dense.loops import channels_last_loop, compiled_loop, fused_loop, monai_loop, plain_loop
from benchmarks.dense.subjects import Subject
from scanner.dense import DenseNet, Form, densify
from scanner.dense.network.layers import has_bfloat16_convolutions
from scanner.errors import SettingsError

#: Patches that a loop is timed on: its cost per patch does not depend on their number.
LOOP_PATCHES = 64
#: Batch of the loop that every ratio is taken against, and of those that are raced in one size only.
USUAL_BATCH = 16
#: What a newcomer writes, and what every ratio is taken against.
PLAIN_LOOP = f"loop: torch contiguous, batch {USUAL_BATCH}"


@dataclass(frozen=True)
class Contestant:
    """One way from an image (1, 3, H, W) to the logits (1, classes, rows, cols) of its patches."""

    name: str
    net: nn.Module
    #: Loops are timed on a few patches only.
    is_loop: bool = False
    precision: torch.dtype = torch.float32


def patch_loops(
    subject: Subject, stride: int, *, batches: tuple[int, ...] = (USUAL_BATCH,), compiled: bool = False
) -> Iterator[Contestant]:
    """The classifier patch by patch: plain, channels last and fused in each batch size; compiled and MONAI's in one."""
    for batch in batches:
        for name, make in (("contiguous", plain_loop), ("channels_last", channels_last_loop), ("fused", fused_loop)):
            loop = make(subject, stride, batch=batch)
            yield Contestant(f"loop: torch {name}, batch {batch}", loop, is_loop=True)
    if compiled and (net := compiled_loop(subject, stride, batch=USUAL_BATCH)) is not None:
        yield Contestant(f"loop: torch compiled, batch {USUAL_BATCH}", net, is_loop=True)
    if (splitter := monai_loop(subject, stride, batch=USUAL_BATCH)) is not None:
        yield Contestant(f"loop: MONAI splitter, batch {USUAL_BATCH}", splitter, is_loop=True)


def dense_forms(subject: Subject, stride: int) -> list[Contestant]:
    """The dense net in each of its forms that this machine has, in float32 and then, if it has that, in bfloat16."""
    nets = []
    for form in (Form.NATIVE, Form.DILATION, Form.FRAGMENTS):
        try:
            nets.append((form, densify(subject.net, subject.patch_size, stride, form=form)))
        except SettingsError:  # no native form of this network, or on this machine
            continue
    found = [Contestant(f"dense: {form}", net) for form, net in nets]
    for form, net in nets if has_bfloat16_convolutions() else ():
        half = copy.deepcopy(net).to(torch.bfloat16)
        if form is Form.DILATION or half.is_native:
            found.append(Contestant(f"dense: {form}, bfloat16", _InPrecision(half), precision=torch.bfloat16))
    return found


def describe_choice(net: DenseNet) -> str:
    """The form that the rule takes on a CPU, and why."""
    if net.native is not None:
        return f"{net.form}, {net.native.reason}"
    return f"{net.form}: no chain, or no C++ compiler, for the native form"


class _InPrecision(nn.Module):
    """A dense net of another precision, for float32 images and scores."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        image = image.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        return self.net(image).float()  # type: ignore[no-any-return]
