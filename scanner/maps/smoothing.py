"""Disk mean of a probability map, bit-identical however the map is cut into boxes.

Floating-point sums depend on their order, and running sums on where they start. So values are counted in units of
2**-30, sums are exact integers, and one division comes last: the same pixel always gets the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.geometry.frames import Box, mirrored

Map = npt.NDArray[np.float32]
#: Reads a box of a map, in map px, that lies within the map.
ReadMap = Callable[[Box], Map]

#: Units per 1.0. A power of two scales float32 without error; 2**33 pixels of 1.0 fit into int64.
UNITS = 2**30
#: Sides of the blocks that are summed at once, in pixels: small enough that their sums stay in the processor's cache
#: and in memory that the allocator reuses.
BLOCK_ROWS, BLOCK_COLS = 64, 256


def smooth(values: Map, radius_px: float) -> Map:
    """The disk mean of a whole map.

    Parameters
    ----------
    values : ndarray of shape (H, W), float32
        Between 0 and 1.
    radius_px : float
        Pixels at offsets (rows, cols) with rows**2 + cols**2 <= radius_px**2 are averaged; below 1 only the pixel
        itself.

    Returns
    -------
    ndarray of shape (H, W), float32
        Outside, the map is continued as the slide is: mirrored, edge not repeated.
    """
    height, width = values.shape
    return smooth_map(lambda box: values[box.slices()], (height, width), radius_px=radius_px)(Box(0, 0, height, width))


def smooth_map(read: ReadMap, shape: tuple[int, int], *, radius_px: float) -> ReadMap:
    """A reader of the smoothed map, for maps too large to be held at once.

    Parameters
    ----------
    read : callable
        Box within the map, in map px -> ndarray of shape (h, w), float32, between 0 and 1.
    shape : (int, int)
        Height and width of the map.
    radius_px : float
        As in `smooth`.

    Returns
    -------
    callable
        Like `read`; for every box the same numbers as `smooth` of the whole map.
    """
    halo = math.floor(radius_px)

    def read_smoothed(box: Box) -> Map:
        rows = mirrored(box.top - halo, box.bottom + halo, shape[0])
        cols = mirrored(box.left - halo, box.right + halo, shape[1])
        source = Box(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)
        values = np.take(read(source), rows - source.top, axis=0)
        return _disk_mean(np.take(values, cols - source.left, axis=1), radius_px)

    return read_smoothed


def disk_half_widths(radius_px: float) -> list[int]:
    """For each row of the disk, from top to bottom, how many pixels it reaches to either side."""
    reach = math.floor(radius_px)
    return [math.isqrt(math.floor(radius_px**2 - row**2)) for row in range(-reach, reach + 1)]


def add_disk_rows(sums: Any, running: Any, half_widths: list[int]) -> None:
    """Add to `sums` (h, w) the sums of all disks, from running sums along the rows (h + 2 * reach, w + 2 * reach + 1).

    Arrays or tensors, of whole numbers: the order does not matter.
    """
    halo, (height, width) = len(half_widths) // 2, sums.shape
    for half_width in set(half_widths):
        first, last = halo - half_width, halo + half_width + 1
        row_sums = running[:, last : last + width] - running[:, first : first + width]
        for row, reach in enumerate(half_widths):
            if reach == half_width:
                sums += row_sums[row : row + height]


def _disk_mean(values: Map, radius_px: float) -> Map:
    """Means of all disks that lie within `values`: (h + 2 * reach, w + 2 * reach) -> (h, w)."""
    halo = math.floor(radius_px)
    height, width = values.shape[0] - 2 * halo, values.shape[1] - 2 * halo
    means = np.zeros((height, width), np.float32)
    for block in _blocks(height, width):
        source = values[block.top : block.bottom + 2 * halo, block.left : block.right + 2 * halo]
        if source.any():  # Most of a slide is background, and its map exactly zero.
            means[block.slices()] = _block_mean(source, radius_px)
    return means


def _block_mean(values: Map, radius_px: float) -> npt.NDArray[np.float64]:
    """As `_disk_mean`, in one go."""
    half_widths = disk_half_widths(radius_px)
    halo = len(half_widths) // 2
    height, width = values.shape[0] - 2 * halo, values.shape[1] - 2 * halo
    running = np.zeros((values.shape[0], values.shape[1] + 1), np.int64)
    units = np.rint(values * np.float32(UNITS)).astype(np.int32)
    np.cumsum(units, axis=1, dtype=np.int64, out=running[:, 1:])
    sums = np.zeros((height, width), np.int64)
    add_disk_rows(sums, running, half_widths)
    disk_px = sum(2 * half_width + 1 for half_width in half_widths)
    means: npt.NDArray[np.float64] = sums / (disk_px * UNITS)
    return means


def _blocks(height: int, width: int) -> Iterator[Box]:
    for top in range(0, height, BLOCK_ROWS):
        for left in range(0, width, BLOCK_COLS):
            yield Box(top, left, top + BLOCK_ROWS, left + BLOCK_COLS).clipped(height, width)
