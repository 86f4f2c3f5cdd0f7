"""The eight symmetries on a whole tile: turning the image and turning the map back is turning every patch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from models.symmetry import Symmetric, average, turned, turned_back
from scanner.dense.patchwise import count_positions


class SymmetricNet(nn.Module):
    """Runs another network of this folder on the tile in its eight positions: called like it, eight times as dear."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.patch_size: int = inner.patch_size  # type: ignore[assignment]
        self.stride: int = inner.stride  # type: ignore[assignment]
        self.form = inner.form
        self.block_bytes: int = getattr(inner, "block_bytes", 0)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, rows, cols)."""
        counts = count_positions(images, self.patch_size, self.stride)
        # Whole strides only: else the last patch, which a turn makes the first, would lie beside the grid.
        height, width = ((count - 1) * self.stride + self.patch_size for count in counts)
        images = images[:, :, :height, :width]

        def logits(turns: int, is_mirrored: bool) -> Tensor:
            scores = self.inner(turned(images, turns, is_mirrored=is_mirrored))
            return turned_back(scores, turns, is_mirrored=is_mirrored)

        return average(logits)


def with_symmetries(net: nn.Module, make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """What `make` makes of `net`; for a network that is averaged over its symmetries, of what is averaged."""
    return SymmetricNet(make(net.net)) if isinstance(net, Symmetric) else make(net)


def without_symmetries(net: nn.Module) -> nn.Module:
    """The network that is averaged, or `net` itself."""
    return net.net if isinstance(net, Symmetric) else net
