"""How the weights of a convolution lie in memory for each layout of the native kernel's rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import pad


class Rows(StrEnum):
    """How a row of values lies in memory; the numbers are the same within rounding."""

    PLANAR = "planar"  # pixels of a channel side by side: no number of maps wastes anything
    INTERLEAVED = "interleaved"  # channels of a pixel side by side: faster where maps fill whole vectors


@dataclass(frozen=True)
class Shape:
    """The kernel's tile of sums, as it was compiled for this processor."""

    #: Maps that share the loads of a planar row's pixels.
    planar_block: int
    #: Maps in a vector of an interleaved row.
    lanes: int
    #: Most vectors of maps that share the loads of an interleaved row's pixels.
    most_blocks: int


def pack_planar(weight: Tensor, shape: Shape) -> Tensor:
    """(maps, channels, rows, cols) -> blocks of maps, each (rows, cols, channels, maps of the block), as one vector."""
    return torch.cat([part.flatten() for part in torch.split(_taps(weight), shape.planar_block, dim=1)])


def pack_interleaved(weight: Tensor, shape: Shape) -> Tensor:
    """(maps, channels, rows, cols) -> groups of whole vectors, each (rows, cols, channels, maps of the group)."""
    taps = _taps(weight)
    blocks = -(-taps.shape[1] // shape.lanes)
    groups = -(-blocks // shape.most_blocks)
    sizes = [(blocks // groups + (group < blocks % groups)) * shape.lanes for group in range(groups)]
    whole = pad(taps, (0, blocks * shape.lanes - taps.shape[1]))
    return torch.cat([part.flatten() for part in torch.split(whole, sizes, dim=1)])


def pad_bias(bias: Tensor, shape: Shape) -> Tensor:
    """The biases of whole vectors of maps."""
    return pad(bias, (0, -len(bias) % shape.lanes))


def _taps(weight: Tensor) -> Tensor:
    """(maps, channels, rows, cols) -> (rows * cols * channels, maps)."""
    return weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
