"""Levels in tiles, some of which have no bytes, or damaged ones: these are drawn from the next finer level.

Scanners leave tiles out of reduced levels, and writers, copies and disks lose them. What is not there is not glass: at
a reduced level it is the mean of what the finer level shows, down to level 0, and where nothing is left there it is
unreadable. A tile is drawn once and kept among those that were decoded; what it takes of the finer level is read piece
by piece, so that a level without any bytes costs no more memory than one with all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import sparse

from scanner.errors import UnreadableRegionError
from scanner.geometry.frames import Box
from scanner.slides.pixels.mosaic import TileCache, assemble, parts_of
from scanner.slides.pixels.protocol import RGB, WHITE, Level, Pixels, ReadableMask, Slide
from scanner.slides.pixels.resampling import weigh, whole_weights

#: Pixels of a tile; or these and, as the last channel, 0 for those that have no bytes.
Tile = Pixels
#: Side of what is read at once of the finer level.
PIECE = 1024  # px
#: A pixel that lies in by less than this share does so by rounding alone.
SMALLEST_SHARE = 1e-6


class NoBytesError(UnreadableRegionError):
    """The file has no bytes for a tile."""


@dataclass(frozen=True)
class TileSource:
    """Where a level's tiles come from."""

    #: (height, width) of a tile.
    tile_shape: tuple[int, int]
    #: Row and column of a tile -> the tile. UnreadableRegionError: it cannot be decoded, or there is none.
    decode: Callable[[int, int], Tile]


class TiledLevels:
    """The pixels of a slide's levels, by box. Threads need no lock."""

    def __init__(self, levels: tuple[Level, ...], sources: list[TileSource], *, name: str, channels: int = RGB) -> None:
        self._name = name
        self._levels = levels
        self._sources = sources
        self._channels = channels
        self._cache = TileCache()

    def read(self, level: int, box: Box) -> Pixels:
        """Pixels of `box`, white outside the level; see `Slide.read`.

        Raises
        ------
        UnreadableRegionError
            Some have no bytes that can be decoded, at this level or a finer one; says where, and why.
        """

        def tile_at(row: int, col: int) -> Pixels:
            tile = self._tile(level, row, col)
            if tile.shape[2] > self._channels:
                part = box.shifted(-row * height, -col * width).clipped(*tile.shape[:2])
                if not tile[part.slices()][..., -1].all():
                    self._explain(level, row, col)
                return tile[..., : self._channels]
            return tile

        height, width = self._sources[level].tile_shape
        return assemble(self._levels[level], box, tile_shape=(height, width), tile_at=tile_at, channels=self._channels)

    def read_masked(self, level: int, box: Box) -> tuple[Pixels, ReadableMask | None]:
        """Pixels of `box`, white where nothing can be read, and which can be: None if all."""
        pixels = np.full((box.height, box.width, self._channels), WHITE, np.uint8)
        readable: ReadableMask | None = None
        for row, col, source, place in parts_of(self._levels[level], box, self._sources[level].tile_shape):
            try:
                tile = self._tile(level, row, col)[source.slices()]
            except UnreadableRegionError:
                tile = np.full((1, 1, self._channels + 1), 0, np.uint8)
            if tile.shape[2] > self._channels and not (opaque := tile[..., -1] > 0).all():
                readable = np.ones(pixels.shape[:2], np.bool_) if readable is None else readable
                readable[place.slices()] = opaque
                tile = np.where(opaque[..., None], tile[..., : self._channels], np.uint8(WHITE))
            pixels[place.slices()] = tile[..., : self._channels]
        return pixels, readable

    def close(self) -> None:
        """Forget every tile."""
        self._cache.clear()

    def _tile(self, level: int, row: int, col: int) -> Tile:
        return self._cache.get((level, row, col), lambda: self._decode_or_draw(level, row, col))

    def _decode_or_draw(self, level: int, row: int, col: int) -> Tile:
        try:
            tile = self._sources[level].decode(row, col)
        except UnreadableRegionError:
            if level == 0:
                raise
            height, width = self._sources[level].tile_shape
            tile = np.zeros((height, width, self._channels + 1), np.uint8)
        return tile if level == 0 or tile.shape[2] == self._channels else self._filled(tile, level, row, col)

    def _filled(self, tile: Tile, level: int, row: int, col: int) -> Tile:
        """A tile whose missing pixels are drawn from the finer level, as far as that has them."""
        height, width = self._sources[level].tile_shape
        box = Box(row * height, col * width, row * height + tile.shape[0], col * width + tile.shape[1])
        inside = box.clipped(self._levels[level].height, self._levels[level].width)
        filled = np.concatenate([tile[..., :-1], np.where(tile[..., -1:] > 0, np.uint8(WHITE), np.uint8(0))], axis=2)
        for piece in self._pieces(level, inside):
            part = filled[piece.shifted(-box.top, -box.left).slices()]
            lacks = part[..., -1] == 0
            if lacks.any():
                part[lacks] = self._reduced(level, piece)[lacks]
        on_level = filled[: inside.height, : inside.width, -1]
        return np.ascontiguousarray(filled[..., :-1]) if on_level.all() else filled

    def _reduced(self, level: int, box: Box) -> Tile:
        """A box of a level as the mean of the finer one, with its opacity: 0 if any pixel of it is missing there."""
        rows, cols = self._axes(level)
        down, top, bottom = area_weights(rows, box.top, box.bottom)
        across, left, right = area_weights(cols, box.left, box.right)
        pixels, readable = self.read_masked(level - 1, Box(top, left, bottom, right))
        opacity = np.full((box.height, box.width, 1), WHITE, np.uint8)
        if readable is not None:
            lacking = across @ (down @ (~readable).astype(np.float32)).T  # (w, h)
            opacity[..., 0] = np.where(lacking.T > 0, 0, WHITE)
        return np.concatenate([weigh(pixels, down, across), opacity], axis=2)

    def _pieces(self, level: int, box: Box) -> Iterator[Box]:
        """The box, in parts that need PIECE pixels of the finer level down and across."""
        sides = [max(1, int(PIECE / axis.ratio)) for axis in self._axes(level)]
        starts = range(box.top, box.bottom, sides[0]), range(box.left, box.right, sides[1])
        for top, left in product(*starts):
            yield Box(top, left, min(top + sides[0], box.bottom), min(left + sides[1], box.right))

    def _axes(self, level: int) -> tuple[FinerAxis, FinerAxis]:
        finer = self._levels[level - 1]
        ratio = self._levels[level].downsample / finer.downsample
        return FinerAxis(finer.height, ratio), FinerAxis(finer.width, ratio)

    def _explain(self, level: int, row: int, col: int) -> None:
        """Raise what is wrong with a tile of which pixels cannot be read, not even from a finer level."""
        self._sources[level].decode(row, col)
        where = f"{self._name}: level {level}, tile in row {row}, column {col}"
        raise NoBytesError(f"{where}: the file holds no data for some of its pixels")


class TiledSlide(Slide):
    """A slide whose pixels come from tiles."""

    _tiles: TiledLevels

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        """Pixels of `box` in that level's pixels; see `Slide.read`."""
        return self._tiles.read(level, Box(*box))

    def read_masked(self, level: int, box: tuple[int, int, int, int]) -> tuple[Pixels, ReadableMask | None]:
        """Pixels of `box`, and which can be read; see `protocol.read_masked`."""
        return self._tiles.read_masked(level, Box(*box))


@dataclass(frozen=True)
class FinerAxis:
    """An axis of the next finer level."""

    length: int
    #: Its pixels per pixel of the level to be drawn.
    ratio: float


def area_weights(axis: FinerAxis, start: int, stop: int) -> tuple[sparse.csr_array, int, int]:
    """(weights, first, last): pixels [start, stop) = weights @ finer pixels [first, last), as shares of 1 / ONE.

    Each finer pixel counts by how much of it lies within the pixel; what lies beyond the finer level counts nothing,
    unless all does: then its last pixel stands for it.
    """
    edges = np.arange(start, stop + 1) * axis.ratio
    begins, ends = edges[:-1], np.minimum(edges[1:], axis.length)
    count = int(np.ceil(axis.ratio)) + 1
    taps = np.floor(begins).astype(np.int64)[:, None] + np.arange(count)  # (stop - start, count)
    shares = np.minimum(taps + 1, ends[:, None]) - np.maximum(taps, begins[:, None])
    shares = shares.clip(0, 1)
    shares[:, 0] += shares.sum(axis=1) < SMALLEST_SHARE
    taps = taps.clip(0, axis.length - 1)
    used = taps[shares > SMALLEST_SHARE]
    first, last = int(used.min()), int(used.max()) + 1
    row_starts = np.arange(0, taps.size + 1, count)
    weights = whole_weights(np.where(shares > SMALLEST_SHARE, shares, 0.0))
    places = (taps - first).clip(0, last - first - 1)  # Where the weight is 0.
    matrix = sparse.csr_array((weights.ravel(), places.ravel(), row_starts), shape=(stop - start, last - first))
    matrix.eliminate_zeros()
    return matrix, first, last
