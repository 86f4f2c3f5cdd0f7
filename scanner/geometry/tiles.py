"""Tiles: what is read, what is written, and in which order. Plain integers."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.geometry.frames import Box, Frame


@dataclass(frozen=True)
class Tile:
    """A unit of work of the dense scan."""

    #: Position in the plan; also the tile's name in the journal of a resumed scan.
    index: int
    #: What it writes, in map pixels. Write boxes of a plan cover the map and do not overlap.
    write: Box
    #: What it reads, in grid pixels; it reaches beyond the grid at the slide's border, where the slide is mirrored.
    read: Box


def plan_tiles(frame: Frame, patch_size: int, tile_size: int) -> list[Tile]:
    """The tiles of a slide, row by row.

    Parameters
    ----------
    frame : Frame
    patch_size : int
        Side of the patch, in grid pixels.
    tile_size : int
        Side of the grid area that a tile answers for, in grid pixels; rounded down to whole strides.

    Returns
    -------
    list of Tile
    """
    side = map_side(tile_size, frame.stride)
    rows, cols = range(0, frame.map_height, side), range(0, frame.map_width, side)
    boxes = [
        Box(row, col, min(row + side, frame.map_height), min(col + side, frame.map_width))
        for row in rows
        for col in cols
    ]
    return [Tile(index, box, read_box(box, frame.stride, patch_size)) for index, box in enumerate(boxes)]


#: Side of a cell, in map pixels: the unit in which unreadable area is given up.
CELL_SIDE = 16


def halve_tile(tile: Tile, stride: int, patch_size: int) -> list[Tile]:
    """A tile in two, cut where cells end, which lie on one lattice for the whole map; none if it is a single cell."""
    return [Tile(tile.index, half, read_box(half, stride, patch_size)) for half in tile.write.halves(CELL_SIDE)]


def map_side(tile_size: int, stride: int) -> int:
    """Side of a tile's write box in map pixels: at least one."""
    return max(1, tile_size // stride)


def read_box(write: Box, stride: int, patch_size: int) -> Box:
    """Grid pixels seen by the patches that are centred on the map pixels of `write`.

    The patch of map pixel m is centred on grid pixel m * stride: it starts patch_size // 2 before it.
    """
    before = patch_size // 2
    top, left = write.top * stride - before, write.left * stride - before
    bottom = (write.bottom - 1) * stride - before + patch_size
    right = (write.right - 1) * stride - before + patch_size
    return Box(top, left, bottom, right)
