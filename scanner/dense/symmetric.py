"""The eight symmetries on a whole tile: turning the image and turning the map back is turning every patch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from models.committee import average
from models.symmetry import SYMMETRIES, Symmetric, odd_side, turned, turned_back
from scanner.dense.conversion.patchwise import count_positions


class SymmetricNet(nn.Module):
    """Averages another network over the eight symmetries of the tile: called like it, at eight times the cost."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self._own_size: int = inner.patch_size  # type: ignore[assignment]
        self.patch_size = odd_side(self._own_size)
        self.stride: int = inner.stride  # type: ignore[assignment]
        self.block_bytes: int = getattr(inner, "block_bytes", 0)

    @property
    def form(self) -> Any:
        """The form of the network that is turned."""
        return self.inner.form

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, rows, cols)."""
        counts = count_positions(images, self.patch_size, self.stride)
        # Whole strides only: else the last patch, which a turn makes the first, would lie beside the grid.
        height, width = ((count - 1) * self.stride + self.patch_size for count in counts)
        images = images[:, :, :height, :width]
        spare = self.patch_size - self._own_size

        def logits(turns: int, is_mirrored: bool) -> Tensor:
            view = turned(images, turns, is_mirrored=is_mirrored)
            scores = self.inner(view[:, :, : view.shape[2] - spare, : view.shape[3] - spare])
            return turned_back(scores, turns, is_mirrored=is_mirrored)

        return average(logits(turns, is_mirrored) for turns, is_mirrored in SYMMETRIES)


def with_symmetries(net: nn.Module, patch_size: int, make: Callable[[nn.Module, int], nn.Module]) -> nn.Module:
    """What `make` makes of a network and its patch; if it is averaged over its symmetries, of what is averaged."""
    inner = make(*without_symmetries(net, patch_size))
    return SymmetricNet(inner) if isinstance(net, Symmetric) else inner


def without_symmetries(net: nn.Module, patch_size: int) -> tuple[nn.Module, int]:
    """The network that is averaged and the side of its own patch; or `net` itself."""
    return (net.net, net.patch_size) if isinstance(net, Symmetric) else (net, patch_size)
