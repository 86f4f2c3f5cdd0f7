"""A committee column by column: each is a dense net of its own, on the part of the patch that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from models.committee import average


class Column(Protocol):
    """A dense net, as far as its committee is concerned."""

    @property
    def is_native(self) -> bool:
        """True if it has a native form in its numbers."""

    def runs_natively(self, images: Tensor) -> bool:
        """True if that can work on these images."""

    def __call__(self, images: Tensor) -> Any:
        """(N, C, H, W) -> (N, classes, rows, cols)."""


class DenseColumns(nn.Module):
    """The averaged columns of a committee: (N, C, H, W) -> (N, classes, rows, cols), as its dense net gives them."""

    def __init__(self, nets: Sequence[Column], crops: Sequence[int]) -> None:
        super().__init__()
        self.nets: Sequence[Column] = nn.ModuleList(nets)  # type: ignore[assignment, arg-type]
        #: Pixels of the committee's patch above and left of each column's.
        self.crops = tuple(crops)

    @property
    def is_native(self) -> bool:
        """True if all columns have a native form in their numbers."""
        return all(net.is_native for net in self.nets)

    def runs_natively(self, images: Tensor) -> bool:
        """True for what all native forms can work on."""
        return all(net.runs_natively(images) for net in self.nets)

    def forward(self, images: Tensor) -> Tensor:
        """Columns with smaller patches find more of them in an image: what all have is kept."""
        maps = [net(images[:, :, crop:, crop:]) for net, crop in zip(self.nets, self.crops, strict=True)]
        rows, cols = (min(scores.shape[axis] for scores in maps) for axis in (2, 3))
        return average(scores[:, :, :rows, :cols] for scores in maps)
