"""ZarrSlide: OME-Zarr (0.4 on Zarr 2, 0.5 on Zarr 3) and plain Zarr arrays, in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.geometry import Box
from scanner.slides.colour import rgb_from_grey
from scanner.slides.contents import sole_image
from scanner.slides.foreign import check_still_there, foreign_errors_become, reading_region
from scanner.slides.protocol import RGB, Held, Pixels, Slide, levels_from_sizes
from scanner.slides.read_through import Tile, TiledLevels, TileSource
from scanner.slides.resolution import settle_field_mpp, settle_slide_mpp
from scanner.slides.tiff_page import MAX_SIDE, MAX_TILE_AREA
from scanner.slides.zarr_holes import may_have_holes, with_other_fill
from scanner.slides.zarr_metadata import Multiscale, plan_axes, read_multiscale

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
        held = is_there.all(axis=2) if self.is_rgb else is_there.any(axis=2)
        return shown if held.all() else np.dstack([shown, held.astype(np.uint8)])

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


class ZarrSlide(Slide):
    """A Zarr group with OME's multiscales, or a plain array (rows, columns, channels), which is taken for a field.

    A chunk that is not there has no bytes, whatever the array's fill value: the writer left it out, or it was lost.
    """

    def __init__(self, path: Path, mpp: float | None = None, *, channels: int | None = RGB) -> None:
        self.path = path
        with foreign_errors_become(DamagedSlideError, f"{path}: damaged Zarr"):
            self._zarr_levels, image = _open_levels(path, channels)
            self.channels = self._zarr_levels[0].channels
            self.levels = levels_from_sizes([level.size for level in self._zarr_levels])
        stated = None if image is None else image.resolution
        settle_mpp = settle_slide_mpp if len(self.levels) > 1 else settle_field_mpp
        self.mpp, self.mpp_source = settle_mpp(path, stated, mpp)
        self.image = sole_image(self)
        self.images = (self.image,)
        sources = [TileSource(one.tile_shape, partial(self._read_tile, at)) for at, one in enumerate(self._zarr_levels)]
        self._tiles = TiledLevels(self.levels, sources, name=str(path), channels=self.channels)
        self._is_closed = False

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        """Pixels of `box` in that level's pixels; see `Slide.read`."""
        return self._tiles.read(level, Box(*box))

    def read_held(self, level: int, box: tuple[int, int, int, int]) -> tuple[Pixels, Held | None]:
        """Pixels of `box`, and which can be read; see `protocol.read_held`."""
        return self._tiles.read_held(level, Box(*box))

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


def _open_levels(path: Path, channels: int | None) -> tuple[list[_ZarrLevel], Multiscale | None]:
    node: zarr.Array[Any] | zarr.Group = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return [_plan_level(node, ("y", "x", "c")[: node.ndim], f"{path}: level 0", channels=channels)], None
    attributes: Mapping[str, Any] = node.attrs.asdict()
    if "bioformats2raw.layout" in attributes.get("ome", attributes):
        node = node["0"]  # The slide; what follows are its label and its macro picture.
    assert isinstance(node, zarr.Group)
    image = read_multiscale(node.attrs.asdict(), str(path), channels=channels)
    if image is None:
        raise UnsupportedSlideError(f"{path}: a Zarr group without OME's multiscales is no slide")
    levels = [
        _plan_level(node[place], image.axes, f"{path}: level {place!r}", channels=channels) for place in image.paths
    ]
    for above, below in pairwise(levels):
        if not (below.size[0] <= above.size[0] and below.size[1] < above.size[1]):
            raise DamagedSlideError(f"{path}: levels of {above.size} and {below.size} px do not make a pyramid")
    return levels, image


def _plan_level(array: object, axes: tuple[str, ...], name: str, *, channels: int | None) -> _ZarrLevel:
    if not isinstance(array, zarr.Array):
        raise DamagedSlideError(f"{name} is no array")
    level = _ZarrLevel(array, *plan_axes(axes, array.shape, name, channels=channels), is_rgb=channels == RGB)
    if array.dtype != np.uint8:
        raise UnsupportedSlideError(f"{name}: {array.dtype} pixels are not read; write them as 8 bits")
    height, width = level.size
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise DamagedSlideError(f"{name}: {width} x {height} px is not the size of a slide")
    if array.chunks[level.row_axis] * array.chunks[level.col_axis] > MAX_TILE_AREA:
        raise UnsupportedSlideError(f"{name}: chunks of {array.chunks} px are too large; write it in smaller ones")
    return level
