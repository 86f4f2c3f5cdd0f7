"""Tiles without what they cover beyond the tissue: it is not scanned, so it need not be read either."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, read_box
from scanner.survey.tissue import Mask, TissueMask

#: A tile is cropped by whole sixteenths of its side, so that few shapes of tiles come up.
UNITS = 16
#: A box is cut in two where the halves read at most this share of it: small boxes cost more per pixel.
WORTH_CUTTING = 0.85


def crop_to_tissue(tile: Tile, tissue: TissueMask, *, context_px: int, alignment: int) -> list[Tile]:
    """The parts of a tile around what is scanned of it: one, or several if less is read that way.

    Parameters
    ----------
    tile : Tile
        With some tissue.
    tissue : TissueMask
    context_px : int
        Side of what is read for a single output, in grid px.
    alignment : int
        Map px of which a tile begins at a multiple.

    Returns
    -------
    list of Tile
        Of the same index, without overlap; what they leave out is not scanned.
    """
    wanted, stride = tissue.values_for(tile.write), tissue.frame.stride
    unit = max(1, -(-max(wanted.shape) // (UNITS * alignment))) * alignment
    starts = [np.arange(0, length, unit) for length in wanted.shape]
    is_wanted = np.logical_or.reduceat(np.logical_or.reduceat(wanted, starts[0], axis=0), starts[1], axis=1)

    def tile_of(units: Box) -> Tile:
        box = Box(*(edge * unit for edge in units)).clipped(*wanted.shape).shifted(tile.write.top, tile.write.left)
        return Tile(tile.index, box, read_box(box, stride, context_px))

    def parts_of(units: Box) -> list[Tile]:
        units = _around(is_wanted, units)
        if units.area == 0:
            return []
        whole = tile_of(units)
        halves = [part for half in units.halves() for part in parts_of(half)]
        return halves if 0 < _read_px(halves) <= WORTH_CUTTING * whole.read.area else [whole]

    return parts_of(Box(0, 0, *is_wanted.shape))


def paste_back(parts: Iterable[tuple[FloatMap, Box]], whole: Box, *, layers: int) -> FloatMap:
    """Values, (K, h, w) each, in their boxes of the map, laid out within `whole`; 0 between and around them."""
    pasted = np.zeros((layers, whole.height, whole.width), np.float32)
    for values, box in parts:
        pasted[:, *box.shifted(-whole.top, -whole.left).slices()] = values
    return pasted


def _around(is_wanted: Mask, box: Box) -> Box:
    """The least box around what is wanted in `box`; empty if nothing is."""
    inside = is_wanted[box.slices()]
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return Box(box.top, box.left, box.top, box.left)
    return Box(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1).shifted(box.top, box.left)


def _read_px(tiles: Iterable[Tile]) -> int:
    return sum(tile.read.area for tile in tiles)
