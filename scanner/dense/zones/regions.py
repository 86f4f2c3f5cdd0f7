"""The nine regions of a layer as tensors, and blocks of patches cut from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from scanner.dense.zones.axis import Span


class Zone(IntEnum):
    """Part of an axis of the patch."""

    BEFORE = 0  # the i-th from the top
    MIDDLE = 1  # one dense map for all patches
    AFTER = 2  # the i-th from the bottom


@dataclass(frozen=True)
class Axis:
    """The patches along one axis."""

    #: Patches.
    count: int
    #: Image pixels from one patch to the next.
    stride: int


@dataclass(frozen=True)
class Block:
    """Elements start <= i < stop of each patch along one axis; those outside of it are padding. None: the middle."""

    start: int
    stop: int


@dataclass(frozen=True)
class Combine:
    """A reduction: of one axis (kept, with length 1), and of two results."""

    along: Callable[[Tensor, int], Tensor]
    both: Callable[[Tensor, Tensor], Tensor]


SUM = Combine(lambda x, dim: x.sum(dim, keepdim=True), torch.add)
MAXIMUM = Combine(lambda x, dim: x.amax(dim, keepdim=True), torch.maximum)


@dataclass(frozen=True)
class Regions:
    """A layer's values for all patches of an image.

    A region is a contiguous tensor of shape (N, Y, X, h, w, C): Y (or X) patches along an axis of which it holds
    single elements, 1 along an axis of which it holds the dense map.
    """

    rows: Span
    cols: Span
    parts: dict[tuple[Zone, Zone], Tensor]

    @property
    def middle(self) -> Tensor:
        """What all patches share."""
        return self.parts[Zone.MIDDLE, Zone.MIDDLE]


def zones_of(span: Span) -> list[Zone]:
    """The zones that are not empty."""
    sizes = {Zone.BEFORE: span.before, Zone.MIDDLE: span.has_middle, Zone.AFTER: span.after}
    return [zone for zone, size in sizes.items() if size]


def as_maps(part: Tensor) -> Tensor:
    """(N, Y, X, h, w, C) -> (N * Y * X, C, h, w), channels last, not copied."""
    return part.flatten(0, 2).permute(0, 3, 1, 2)


def as_part(maps: Tensor, like: tuple[int, int, int]) -> Tensor:
    """(N * Y * X, C, h, w) -> (N, Y, X, h, w, C) for (N, Y, X) = `like`."""
    part = maps.permute(0, 2, 3, 1).contiguous()
    return part.view(*like, *part.shape[1:])


def cut(
    regions: Regions, blocks: tuple[Block | None, Block | None], axes: tuple[Axis, Axis], *, fill: float = 0.0
) -> Tensor:
    """Elements of every patch, from whatever regions hold them, in one tensor of shape (N, Y, X, h, w, C).

    Parameters
    ----------
    regions : Regions
    blocks : pair of Block or None
        Elements along rows and columns; None keeps that axis' dense map.
    axes : pair of Axis
        The patches wanted, from the first on.
    fill : float
        Value of the padding.
    """
    pieces = [_pieces(span, block) for span, block in zip((regions.rows, regions.cols), blocks, strict=True)]
    if blocks[0] is None and blocks[1] is None:
        return regions.middle
    any_part = next(iter(regions.parts.values()))
    sizes = [1, 1, 1, 1]
    for dim, block in enumerate(blocks):
        if block is None:
            sizes[2 + dim] = regions.middle.shape[3 + dim]
        else:
            sizes[dim], sizes[2 + dim] = axes[dim].count, block.stop - block.start
    out = any_part.new_empty((len(any_part), *sizes, any_part.shape[5]))
    for dim, (span, block) in enumerate(zip((regions.rows, regions.cols), blocks, strict=True)):
        if block is not None:
            # Where padding is wider than a window, the window may lie in it as a whole.
            length = block.stop - block.start
            first, last = min(-block.start, length), max(span.extent - block.start, 0)
            if first > 0:
                out.narrow(3 + dim, 0, first).fill_(fill)
            if last < length:
                out.narrow(3 + dim, last, length - last).fill_(fill)
    for row_zone, (row_at, row_part) in pieces[0].items():
        for col_zone, (col_at, col_part) in pieces[1].items():
            source = regions.parts[row_zone, col_zone]
            source = _view(source, 0, row_zone, regions.rows, part=row_part, axis=axes[0])
            source = _view(source, 1, col_zone, regions.cols, part=col_part, axis=axes[1])
            out[:, :, :, row_at, col_at].copy_(source)
    return out


_Pieces = dict[Zone, tuple[slice, Block | None]]


def _pieces(span: Span, block: Block | None) -> _Pieces:
    """For every zone that a block meets: where in the block, and which elements."""
    if block is None:
        return {Zone.MIDDLE: (slice(None), None)}
    bounds = {
        Zone.BEFORE: (0, span.before),
        Zone.MIDDLE: (span.before, span.extent - span.after),
        Zone.AFTER: (span.extent - span.after, span.extent),
    }
    pieces: _Pieces = {}
    for zone, (low, high) in bounds.items():
        start, stop = max(block.start, low), min(block.stop, high)
        if start < stop:
            pieces[zone] = slice(start - block.start, stop - block.start), Block(start, stop)
    return pieces


def _view(source: Tensor, dim: int, zone: Zone, span: Span, *, part: Block | None, axis: Axis) -> Tensor:
    """Elements of one zone along one axis, not copied."""
    if part is None:
        return source
    patches, elements = 1 + dim, 3 + dim
    count = part.stop - part.start
    if zone is not Zone.MIDDLE:
        low = span.extent - span.after if zone is Zone.AFTER else 0
        return source.narrow(elements, part.start - low, count).narrow(patches, 0, axis.count)
    size, stride = list(source.shape), list(source.stride())
    first = (part.start * span.step + span.origin) // span.grid
    offset = source.storage_offset() + first * stride[elements]
    size[patches], size[elements] = axis.count, count
    stride[patches] = axis.stride // span.grid * stride[elements]
    stride[elements] *= span.fragments
    return source.as_strided(size, stride, offset)


def reduce_patches(regions: Regions, axes: tuple[Axis, Axis], combine: Combine) -> Tensor:
    """One value for each patch and channel, over all its elements: (N, Y, X, 1, 1, C).

    Rows first: what the columns' middle shares is reduced once for all patches that hold it.
    """
    by_cols: dict[Zone, Tensor] = {}
    for (row_zone, col_zone), source in regions.parts.items():
        elements = _view(source, 0, row_zone, regions.rows, part=_all_of(regions.rows, row_zone), axis=axes[0])
        reduced = combine.along(elements, 3)  # (N, Y, X or 1, 1, w, C)
        by_cols[col_zone] = combine.both(by_cols[col_zone], reduced) if col_zone in by_cols else reduced
    total: Tensor | None = None
    for zone, source in by_cols.items():
        elements = _view(source, 1, zone, regions.cols, part=_all_of(regions.cols, zone), axis=axes[1])
        reduced = combine.along(elements, 4)  # (N, Y, X, 1, 1, C)
        total = reduced if total is None else combine.both(total, reduced)
    assert total is not None
    return total


def _all_of(span: Span, zone: Zone) -> Block:
    return _pieces(span, Block(0, span.extent))[zone][1] or Block(0, 0)


def smallest(parts: list[Tensor]) -> list[Tensor]:
    """Maps of branches reach differently far beyond the last patch: keep what all have."""
    height, width = min(part.shape[3] for part in parts), min(part.shape[4] for part in parts)
    return [part[:, :, :, :height, :width] for part in parts]


def image_regions(images: Tensor, rows: Span, cols: Span) -> Regions:
    """The image: one dense map."""
    part = images.permute(0, 2, 3, 1).contiguous()[:, None, None]  # (N, 1, 1, H, W, C)
    return Regions(rows, cols, {(Zone.MIDDLE, Zone.MIDDLE): part})


def later_rows(regions: Regions, first: int, axis: Axis) -> Regions:
    """The same regions for the patches from row `first` on, not copied."""
    parts: dict[tuple[Zone, Zone], Tensor] = {}
    for (row_zone, col_zone), part in regions.parts.items():
        if row_zone is Zone.MIDDLE:
            start = first * axis.stride // regions.rows.grid
            parts[row_zone, col_zone] = part[:, :, :, start:]
        else:
            parts[row_zone, col_zone] = part[:, first:]
    return Regions(regions.rows, regions.cols, parts)
