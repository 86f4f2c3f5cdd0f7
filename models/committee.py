"""A committee: several columns averaged as one classifier (MCDNN: Ciresan, Meier, Schmidhuber, CVPR 2012)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.elementwise import softmax

torch.fx.wrap("softmax")  # A committee that is traced shows it as one layer.


@dataclass(frozen=True)
class View:
    """How a column looks at the committee's patch: at its middle, coarser, with colours scaled otherwise."""

    #: Side of the column's own patch, in its own pixels.
    patch_size: int
    #: Pixels of the committee that are averaged into one of the column, along each axis.
    scale: int = 1
    #: Per channel: the column reads input * gain + offset; empty: as it is.
    gain: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()

    @property
    def extent(self) -> int:
        """Side of the patch in pixels of the committee."""
        return self.patch_size * self.scale


class Column(nn.Module):
    """One network behind its view."""

    gain: Tensor
    offset: Tensor

    def __init__(self, net: nn.Module, view: View) -> None:
        super().__init__()
        self.net = net
        self.scale = nn.AvgPool2d(view.scale) if view.scale > 1 else None
        self.has_colours = bool(view.gain)
        if self.has_colours:
            # The card holds them: they are no weights.
            self.register_buffer("gain", torch.tensor(view.gain).view(1, -1, 1, 1), persistent=False)
            self.register_buffer("offset", torch.tensor(view.offset).view(1, -1, 1, 1), persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Logits of the column."""
        if self.scale is not None:
            patches = self.scale(patches)
        if self.has_colours:
            patches = patches * self.gain + self.offset
        logits: Tensor = self.net(patches)
        return logits


class Committee(nn.Module):
    """The mean probability of its columns, as log-probabilities: (N, C, P, P) -> (N, classes).

    Columns may have smaller patches than the committee: each looks at the centre of the patch.
    """

    def __init__(self, columns: Sequence[nn.Module], views: Sequence[View | int]) -> None:
        super().__init__()
        seen = [view if isinstance(view, View) else View(view) for view in views]
        plain = [view == View(view.patch_size) for view in seen]
        self.columns = nn.ModuleList(
            net if is_plain else Column(net, view) for net, view, is_plain in zip(columns, seen, plain, strict=True)
        )
        self.sizes = [view.extent for view in seen]
        self.patch_size = max(self.sizes)
        #: Rows and columns cut before each column, so that all patches share their centre P // 2.
        self.crops = [self.patch_size // 2 - size // 2 for size in self.sizes]

    def forward(self, patches: Tensor) -> Tensor:
        """Log of the averaged class probabilities."""
        parts = zip(self.columns, self.crops, self.sizes, strict=True)
        return average(net(patches[:, :, crop : crop + size, crop : crop + size]) for net, crop, size in parts)


def average(logits: Iterable[Tensor]) -> Tensor:
    """Log of the mean of the probabilities that several logits (N, classes, ...) give: of columns, or of symmetries."""
    probabilities = (softmax(one, dim=1) for one in logits)  # One by one: maps of a whole tile are large.
    total, count = next(probabilities), 1
    for further in probabilities:
        total, count = total + further, count + 1
    return torch.log(total / count)
