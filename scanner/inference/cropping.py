"""Tiles without what they cover beyond the tissue: it is not scanned, so it need not be read either."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, read_box
from scanner.survey.tissue import TissueMask

#: A tile is cropped by whole eighths of its side, so that few shapes of tiles come up.
PARTS = 8


def crop_to_tissue(tile: Tile, tissue: TissueMask, *, context_px: int, alignment: int) -> Tile:
    """The part of a tile around what is scanned of it.

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
    Tile
        Of the same index; what it leaves out is not scanned.
    """
    wanted = tissue.values_for(tile.write)
    rows = _span(np.logical_or.reduce(wanted, axis=1), alignment)
    cols = _span(np.logical_or.reduce(wanted, axis=0), alignment)
    part = Box(rows[0], cols[0], rows[1], cols[1]).shifted(tile.write.top, tile.write.left)
    return tile if part == tile.write else Tile(tile.index, part, read_box(part, tissue.frame.stride, context_px))


def _span(is_wanted: npt.NDArray[np.bool_], alignment: int) -> tuple[int, int]:
    """First and last (exclusive) of what is wanted, moved outwards to whole parts of the side."""
    length, wanted = len(is_wanted), np.flatnonzero(is_wanted)
    unit = max(1, -(-length // (PARTS * alignment))) * alignment
    return int(wanted[0]) // unit * unit, min(length, (int(wanted[-1]) // unit + 1) * unit)


def paste_back(values: FloatMap, part: Box, whole: Box) -> FloatMap:
    """The values of `part`, (K, h, w), in its place within `whole`, 0 around them."""
    if part == whole:
        return values
    pasted = np.zeros((len(values), whole.height, whole.width), np.float32)
    pasted[:, *part.shifted(-whole.top, -whole.left).slices()] = values
    return pasted
