"""Levels whose writer filled them up to whole tiles: their sizes say too little, what they state decides.

A level of 1024 px that stands for 896 px at a downsample of 2, filled up to tiles of 256, would be read as one of 1.875
by its size: the farther from the corner, the farther off. So the downsample that the file states for a level decides
wherever padding of less than a tile explains the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scanner.slides.metadata.resolution import Resolution, Stated
from scanner.slides.pixels.protocol import Level, levels_from_sizes

Size = tuple[int, int]

#: A stated downsample this close to a whole number is that number: tags and scales are rounded.
ROUNDING = 0.002  # relative
#: Writers round the size of a level up or down.
ROUNDED_PX = 1.0


def levels_as_stated(sizes: Sequence[Size], stated: Sequence[float | None], tiles: Sequence[Size]) -> tuple[Level, ...]:
    """Levels of those (height, width), each with the downsample that it states, as far as padding allows that.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Height and width of every level, as the file has it.
    stated : sequence of float or None
        The downsample that each level states; None where it states none.
    tiles : sequence of (int, int)
        Height and width of each level's tiles; (1, 1) where nothing is filled up.

    Returns
    -------
    tuple of Level
        Without the padding. A level that states nothing, or what its size contradicts, has the downsample of its size.
    """
    by_size = levels_from_sizes(list(sizes))
    return tuple(map(_settle, by_size, [by_size[0]] * len(by_size), stated, tiles))


def stated_ratio(level: Stated, level0: Stated) -> float | None:
    """The downsample that a level states by its own pixel size; None if it or level 0 states none."""
    if not isinstance(level, Resolution) or not isinstance(level0, Resolution) or not level0.mpp > 0:
        return None
    return level.mpp / level0.mpp


def is_filled_up(size: Size, full: Size, stated: float | None, tile: Size) -> bool:
    """Whether a (height, width) is that of a level at the downsample that it states, filled up to whole tiles."""
    level = levels_as_stated([full, size], [1.0, stated], [tile, tile])[1]
    return (level.height, level.width) != size


def _settle(level: Level, level0: Level, stated: float | None, tile: Size) -> Level:
    if stated is None or not math.isfinite(stated) or stated < 1:
        return level
    whole = round(stated)
    downsample = float(whole) if abs(stated - whole) <= ROUNDING * whole else stated
    full, own = (level0.height, level0.width), (level.height, level.width)
    padding = [has - wants / downsample for has, wants in zip(own, full, strict=True)]
    if not all(-ROUNDED_PX <= extra < max(side, ROUNDED_PX) for extra, side in zip(padding, tile, strict=True)):
        return level
    if any(extra > ROUNDED_PX and has % side for extra, has, side in zip(padding, own, tile, strict=True)):
        return level  # No whole tiles.
    if all(extra <= ROUNDED_PX for extra in padding):  # Nothing is filled up.
        return replace(level, downsample=downsample) if downsample == whole else level
    height, width = (min(has, math.ceil(wants / downsample)) for has, wants in zip(own, full, strict=True))
    return replace(level, height=height, width=width, downsample=downsample)
