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
    MATRIX = "matrix"  # the same in bfloat16, for the processor's matrix unit


@dataclass(frozen=True)
class Shape:
    """The kernel's tile of sums, as it was compiled for this processor."""

    #: Maps that share the loads of a planar row's pixels.
    planar_block: int
    #: Maps in a vector of an interleaved row.
    lanes: int
    #: Most vectors of maps that share the loads of an interleaved row's pixels.
    most_blocks: int


#: Channels of a pixel that the matrix unit multiplies at once, at most.
_MOST_CHANNELS = 32


@dataclass(frozen=True)
class Slices:
    """How the matrix unit reads what lies under a row of a window: `across` x `count` x `length` numbers."""

    #: Numbers from one pixel to the next.
    pitch: int
    #: Places that are read on their own: columns of the window, or 1 where they lie side by side in memory.
    across: int
    #: Slices of each, and the numbers of a slice: even, for the unit multiplies pairs.
    count: int
    length: int


def slice_channels(channels: int, columns: int, *, dilation: int, whole: int) -> Slices:
    """The slices of a window of so many columns; pixels lie `whole` or more numbers apart."""
    count = -(-channels // _MOST_CHANNELS)
    length = 2 * -(-channels // (2 * count))
    apart = Slices(max(whole, count * length), columns, count, length)
    if dilation > 1 or columns == 1:
        return apart
    together = columns * whole
    merged = next(n for n in range(-(-together // _MOST_CHANNELS), together) if together % (2 * n) == 0)
    return Slices(whole, 1, merged, together // merged) if merged < columns * count else apart


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


def pack_matrix(weight: Tensor, slices: Slices, shape: Shape) -> Tensor:
    """(maps, channels, rows, cols) -> vectors of maps, each (tap, slice, pair, map, channel of the pair)."""
    maps, channels, rows, columns = weight.shape
    numbers = slices.across * slices.count * slices.length // columns  # of each pixel under the window
    taps = pad(weight.permute(2, 3, 1, 0), (0, -maps % shape.lanes, 0, numbers - channels))
    pairs = taps.reshape(rows * columns * numbers // 2, 2, -1, shape.lanes)
    return pairs.permute(2, 0, 3, 1).to(torch.bfloat16).contiguous()


def pad_bias(bias: Tensor, shape: Shape) -> Tensor:
    """The biases of whole vectors of maps."""
    return pad(bias, (0, -len(bias) % shape.lanes))


def _taps(weight: Tensor) -> Tensor:
    """(maps, channels, rows, cols) -> (rows * cols * channels, maps)."""
    return weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
