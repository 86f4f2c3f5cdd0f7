"""The eight symmetries of a square: a patch seen as it is, turned and mirrored, and what is said of it averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.committee import average

#: Quarter turns, and whether it is mirrored first.
SYMMETRIES = tuple((turns, is_mirrored) for is_mirrored in (False, True) for turns in range(4))


class Symmetric(nn.Module):
    """The mean probability over the eight symmetries, as log-probabilities: (N, C, S, S) -> (N, classes).

    S is odd, the side of the network's own patch or one more: all eight views must be of the same pixel, and an even
    patch has none in its middle. Turned about the middle of S, each view is cut to the network's patch around it.
    """

    def __init__(self, net: nn.Module, patch_size: int) -> None:
        super().__init__()
        self.net = net
        #: Of the network itself, whose centre is its pixel `patch_size` // 2.
        self.patch_size = patch_size
        self.side = odd_side(patch_size)

    def forward(self, patches: Tensor) -> Tensor:
        """Log of the averaged class probabilities."""
        own = slice(0, self.patch_size)
        views = (turned(patches, turns, is_mirrored=is_mirrored) for turns, is_mirrored in SYMMETRIES)
        return average(self.net(view[..., own, own]) for view in views)


def odd_side(patch_size: int) -> int:
    """The smallest odd side that holds the patch: all symmetries of it have the same middle."""
    return patch_size | 1


def turned(x: Tensor, turns: int, *, is_mirrored: bool) -> Tensor:
    """`x` mirrored left to right, if so, then turned; over its last two axes."""
    return torch.rot90(x.flip(-1) if is_mirrored else x, turns, (-2, -1))


def turned_back(x: Tensor, turns: int, *, is_mirrored: bool) -> Tensor:
    """What `turned` made, as it was."""
    x = torch.rot90(x, -turns, (-2, -1))
    return x.flip(-1) if is_mirrored else x


def all_views(x: Tensor) -> list[Tensor]:
    """`x` in all eight ways, in the order of SYMMETRIES."""
    return [turned(x, turns, is_mirrored=is_mirrored) for turns, is_mirrored in SYMMETRIES]
