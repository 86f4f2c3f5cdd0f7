"""ZarrSlide: OME-Zarr (0.4 on Zarr 2, 0.5 on Zarr 3) and plain Zarr arrays, in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.geometry.frames import Box
from scanner.slides.files.foreign import check_still_there, foreign_errors_become, reading_region
from scanner.slides.metadata.contents import choose_image
from scanner.slides.pixels.colour import rgb_from_grey
from scanner.slides.pixels.limits import MAX_SIDE, MAX_TILE_AREA
from scanner.slides.pixels.protocol import RGB, Pixels
from scanner.slides.pixels.read_through import Tile, TiledLevels, TiledSlide, TileSource
from scanner.slides.zarr.contents import ZarrContents, ZarrImage
from scanner.slides.zarr.holes import may_have_holes, with_other_fill
from scanner.slides.zarr.metadata import plan_axes, refuse_stains

#: Chunks are read together up to about this side: each call costs a millisecond, whatever its size.
READ_PX = 512


@dataclass(frozen=True)
class _ZarrLevel:
    """One level: its array, and which of its axes are what."""

    array: zarr.Array[Any]
    row_axis: int
    col_axis: int
    channel_axis: int | None
    #: True if grey is shown as RGB.
    is_rgb: bool

    @property
    def channels(self) -> int:
        """Of the pixels that are read."""
        if self.is_rgb:
            return RGB
        return 1 if self.channel_axis is None else int(self.array.shape[self.channel_axis])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.array.shape[self.row_axis], self.array.shape[self.col_axis]

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Whole chunks, (height, width)."""
        sides = [self.array.chunks[axis] for axis in (self.row_axis, self.col_axis)]
        height, width = (side * max(1, READ_PX // side) for side in sides)
        return height, width

    def read(self, box: Box) -> Tile:
        """Pixels of a box within the level, (h, w, channels); with one more channel, 0 where it has no chunks."""
        place: list[int | slice] = [0] * self.array.ndim
        place[self.row_axis], place[self.col_axis] = box.slices()
        if self.channel_axis is not None:
            place[self.channel_axis] = slice(None)
        where = tuple(place)
        values = np.asarray(self.array[where])
        pixels = self._ordered(values, where)
        shown = rgb_from_grey(pixels[:, :, 0]) if self.is_rgb and pixels.shape[2] == 1 else pixels
        if not may_have_holes(values, where, self.array):
            return shown
        is_there = pixels == self._ordered(np.asarray(self.other_fill[where]), where)
        # A colour without one of its three is none; of other channels the writer leaves out those that are dark.
        readable = is_there.all(axis=2) if self.is_rgb else is_there.any(axis=2)
        return shown if readable.all() else np.dstack([shown, readable.astype(np.uint8)])

    @cached_property
    def other_fill(self) -> zarr.Array[Any]:
        """The array, showing another value where it has no chunk."""
        return with_other_fill(self.array)

    def _ordered(self, values: npt.NDArray[Any], place: tuple[int | slice, ...]) -> Pixels:
        """What was read at `place` as (h, w, channels)."""
        kept = [axis for axis in range(self.array.ndim) if isinstance(place[axis], slice)]
        order = [kept.index(axis) for axis in (self.row_axis, self.col_axis, self.channel_axis) if axis is not None]
        pixels = np.ascontiguousarray(values.transpose(order))  # (h, w) or (h, w, channels)
        return pixels.reshape(*pixels.shape[:2], -1)


class ZarrSlide(TiledSlide):
    """A Zarr group with OME's multiscales, or a plain array (rows, columns, channels), which is taken for a field.

    A chunk that is not there has no bytes, whatever the array's fill value: the writer left it out, or it was lost.
    """

    def __init__(self, path: Path, *, channels: int | None = RGB, image: int | None = None) -> None:
        self.path = path
        with foreign_errors_become(DamagedSlideError, f"{path}: damaged Zarr"):
            contents = ZarrContents(path)
            self.images, self.notes = contents.images, contents.notes
            self.image = choose_image(self.images, path, image)
            chosen = contents.found[self.image.index]
            self._zarr_levels = _plan_levels(chosen, path, channels)
            self.channels = self._zarr_levels[0].channels
            self.levels = self.image.levels
            self.file_mpp = contents.mpps[self.image.index]
            self.mpp, self.mpp_source = self.file_mpp.value, self.file_mpp.source
        sources = [TileSource(one.tile_shape, partial(self._read_tile, at)) for at, one in enumerate(self._zarr_levels)]
        self._tiles = TiledLevels(self.levels, sources, name=str(path), channels=self.channels)
        self._is_closed = False

    def close(self) -> None:
        """Forget the pixels; no file is open between two reads."""
        self._is_closed = True
        self._tiles.close()

    def _read_tile(self, level: int, row: int, col: int) -> Tile:
        if self._is_closed:
            raise SlideError(f"{self.path} is closed")
        source = self._zarr_levels[level]
        height, width = source.tile_shape
        box = Box(row * height, col * width, (row + 1) * height, (col + 1) * width).clipped(*source.size)
        with reading_region(self.path, f"{self.path}: level {level}, chunks at {box[:2]}"):
            pixels = source.read(box)
        check_still_there(self.path)  # For a chunk that is not there is no error to Zarr.
        return pixels


def _plan_levels(image: ZarrImage, path: Path, channels: int | None) -> list[_ZarrLevel]:
    if channels == RGB:
        refuse_stains(image.attributes, str(path))
    return [
        _plan_level(array, image.axes, f"{path}: level {place or 0!r}", channels=channels)
        for place, array in image.arrays
    ]


def _plan_level(array: zarr.Array[Any], axes: tuple[str, ...], name: str, *, channels: int | None) -> _ZarrLevel:
    level = _ZarrLevel(array, *plan_axes(axes, array.shape, name, channels=channels), is_rgb=channels == RGB)
    if array.dtype != np.uint8:
        raise UnsupportedSlideError(f"{name}: {array.dtype} pixels are not read; write them as 8 bits")
    height, width = level.size
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise DamagedSlideError(f"{name}: {width} x {height} px is not the size of a slide")
    if array.chunks[level.row_axis] * array.chunks[level.col_axis] > MAX_TILE_AREA:
        raise UnsupportedSlideError(f"{name}: chunks of {array.chunks} px are too large; write it in smaller ones")
    return level
