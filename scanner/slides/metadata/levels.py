"""Which levels an image has: which of a file's arrays or pages are reductions of the first, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scanner.slides.metadata.padding import Size, is_filled_up, levels_as_stated, stated_ratio
from scanner.slides.metadata.resolution import Resolution, Stated, level_contradiction
from scanner.slides.pixels.protocol import Level


@dataclass(frozen=True)
class StoredLevel:
    """What a file holds, and states, of one array or page that may be a level."""

    #: (height, width) as the file has it, with padding.
    size: Size
    #: (height, width) of the tiles up to which it may be filled; (1, 1) where nothing is filled up.
    tile: Size
    #: What it states of its own pixels.
    stated: Stated


def why_no_reduction(level: StoredLevel, level0: StoredLevel) -> str | None:
    """What size and stated mpp say against one as a reduction of the other; None if they allow it.

    That both have the same proportions is no reason for it: the next scene of a slide may have them too.
    """
    if is_filled_up(level.size, level0.size, stated_ratio(level.stated, level0.stated), level.tile):
        return None
    if not is_reduction(level.size, level0.size):
        return f"it is no reduction of {level0.size[1]} x {level0.size[0]} px"
    return level_contradiction(level0.stated, level.stated, level0.size[1] / level.size[1])


def plan_levels(stored: Sequence[StoredLevel]) -> tuple[Level, ...]:
    """Levels without their padding, each with its downsample, and the mpp that it states as its `stated_mpp`."""
    ratios = [stated_ratio(level.stated, stored[0].stated) for level in stored]
    levels = levels_as_stated([level.size for level in stored], ratios, [level.tile for level in stored])
    return tuple(
        replace(level, stated_mpp=one.stated.mpp if isinstance(one.stated, Resolution) else None)
        for level, one in zip(levels, stored, strict=True)
    )


def is_reduction(reduced: Size, full: Size) -> bool:
    """Whether one downsample explains both sides of two (height, width), each rounded up or down."""
    if not all(reduced):
        return False
    row_range, col_range = (_downsamples(whole, part) for whole, part in zip(full, reduced, strict=True))
    return max(row_range[0], col_range[0], 1.0) <= min(row_range[1], col_range[1])


def _downsamples(full: int, reduced: int) -> tuple[float, float]:
    return full / (reduced + 1), full / (reduced - 1) if reduced > 1 else float("inf")
