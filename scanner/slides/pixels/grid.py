"""Grid: one slide at the model's mpp, the only thing a scan reads from."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from scanner.geometry.frames import Box, Frame, mirrored
from scanner.slides.pixels.protocol import Level, Pixels, Slide
from scanner.slides.pixels.resampling import Axis, resample

Places = npt.NDArray[np.int64]

#: A level up to this much coarser than the grid may serve it (relative).
LEVEL_TOLERANCE = 0.02
#: Level and grid pixels of this equal a size are the same pixels: over 200,000 px they drift by 0.02 px.
SAME_SCALE = 1e-7


class Grid:
    """A slide resampled to its frame's grid, and mirrored beyond its borders.

    A pixel depends on its position alone: however an area is cut into boxes, its pixels are the same bits.
    """

    def __init__(self, slide: Slide, frame: Frame) -> None:
        self.height = frame.grid_height
        self.width = frame.grid_width
        self._slide = slide
        #: The level that is read: the coarsest that has all the detail of the grid.
        self.level = choose_level(slide.levels, frame.scale)
        chosen = slide.levels[self.level]
        ratio = frame.scale / chosen.downsample
        self._rows = Axis(chosen.height, ratio)
        self._cols = Axis(chosen.width, ratio)
        same_size = (self.height, self.width) == (chosen.height, chosen.width)
        self._is_level = same_size and abs(ratio - 1) <= SAME_SCALE

    def read(self, box: Box) -> Pixels:
        """Grid pixels of `box`, (height, width, channels); outside the grid mirrored, the edge not repeated.

        Raises
        ------
        UnreadableRegionError
            Pixels that the box needs cannot be decoded.
        """
        if box == box.clipped(self.height, self.width):
            return self._read_inside(box)
        rows = mirrored(box.top, box.bottom, self.height)
        cols = mirrored(box.left, box.right, self.width)
        if not (rows.size and cols.size):
            return np.empty((rows.size, cols.size, self._slide.channels), np.uint8)
        inside = Box(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)
        return _mirrored_pixels(self._read_inside(inside), rows - inside.top, cols - inside.left)

    def _read_inside(self, box: Box) -> Pixels:
        read = partial(self._slide.read, self.level)
        if self._is_level:
            return read(box)
        return resample(read, box, rows=self._rows, cols=self._cols, channels=self._slide.channels)


def _mirrored_pixels(pixels: Pixels, rows: Places, cols: Places) -> Pixels:
    """`pixels[rows[:, None], cols]`, several times as fast where most columns follow one another, as in a tile's."""
    taken = pixels[rows]  # (height, w, channels): whole rows at a time.
    turns = np.flatnonzero(np.diff(cols) != 1) + 1
    edges = [0, *turns.tolist(), len(cols)]
    first, last = max(pairwise(edges), key=lambda run: run[1] - run[0])
    mirrored_pixels = np.empty((len(rows), len(cols), pixels.shape[2]), np.uint8)
    mirrored_pixels[:, first:last] = taken[:, cols[first] : cols[first] + last - first]
    for part in (slice(None, first), slice(last, None)):
        mirrored_pixels[:, part] = taken[:, cols[part]]
    return mirrored_pixels


def choose_level(levels: tuple[Level, ...], scale: float) -> int:
    """Index of the coarsest level whose pixels are no larger than those of the grid (`scale` level-0 px)."""
    limit = scale * (1 + LEVEL_TOLERANCE)
    return max((index for index, level in enumerate(levels) if level.downsample <= limit), default=0)
