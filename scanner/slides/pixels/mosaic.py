"""Boxes of a level, put together from the tiles in which its file keeps it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from threading import Lock

import numpy as np

from scanner.geometry.frames import Box
from scanner.slides.pixels.protocol import RGB, WHITE, Level, Pixels

#: Decoded tiles kept per slide: 1024 rows of a slide 87,000 px wide, so that a row of a scan finds what its halo
#: shares with the row above.
CACHE_BYTES = 256 * 2**20


class TileCache:
    """The tiles decoded last, up to a bound on their bytes.

    The lock guards the bookkeeping only, never a read or a decode: two threads may decode the same tile at once,
    which costs time and harms nothing.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tiles: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, decode: Callable[[], Pixels]) -> Pixels:
        """The tile of that key, decoded if it is not at hand."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
                return tile
        tile = decode()
        tile.flags.writeable = False
        with self._lock:
            self._keep(key, tile)
        return tile

    def clear(self) -> None:
        """Forget every tile."""
        with self._lock:
            self._tiles.clear()
            self._bytes = 0

    def _keep(self, key: Hashable, tile: Pixels) -> None:
        if key in self._tiles:
            return
        self._tiles[key] = tile
        self._bytes += tile.nbytes
        # The newest tile stays even if it alone is over the bound: a field may be one single strip.
        while self._bytes > self._max_bytes and len(self._tiles) > 1:
            self._bytes -= self._tiles.popitem(last=False)[1].nbytes


def assemble(
    level: Level, box: Box, *, tile_shape: tuple[int, int], tile_at: Callable[[int, int], Pixels], channels: int = RGB
) -> Pixels:
    """The pixels of `box`, white outside the level.

    Parameters
    ----------
    level, box : Level, Box
        The box is in pixels of that level.
    tile_shape : tuple
        (tile_height, tile_width) in pixels.
    tile_at : callable
        (tile_row, tile_col) -> pixels of that tile; what reaches beyond the level is not looked at.
    channels : int
        Of a pixel.
    """
    if box == box.clipped(level.height, level.width):
        pixels = np.empty((box.height, box.width, channels), np.uint8)
    else:
        pixels = np.full((box.height, box.width, channels), WHITE, np.uint8)
    for tile_row, tile_col, source, place in parts_of(level, box, tile_shape):
        pixels[place.slices()] = tile_at(tile_row, tile_col)[source.slices()]
    return pixels


def parts_of(level: Level, box: Box, tile_shape: tuple[int, int]) -> Iterator[tuple[int, int, Box, Box]]:
    """Row and column of each tile that `box` needs, which part of the tile that is, and where in the box it lies."""
    inside = box.clipped(level.height, level.width)
    if not inside.area:
        return
    tile_height, tile_width = tile_shape
    for tile_row in range(inside.top // tile_height, -(-inside.bottom // tile_height)):
        for tile_col in range(inside.left // tile_width, -(-inside.right // tile_width)):
            origin = (tile_row * tile_height, tile_col * tile_width)
            part = Box(*origin, origin[0] + tile_height, origin[1] + tile_width).shifted(-inside.top, -inside.left)
            part = part.clipped(inside.height, inside.width).shifted(inside.top, inside.left)
            yield tile_row, tile_col, part.shifted(-origin[0], -origin[1]), part.shifted(-box.top, -box.left)
