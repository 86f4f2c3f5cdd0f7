"""Boxes, and the three frames of a scan.

level0   pixels of the slide's full-resolution level
grid     pixels at the model's mpp: the slide resampled, one global grid; equal to level0 where the mpp agree
map      every `stride`-th grid pixel: one value per scanned position

A coordinate counts pixels from the top left; pixel centres lie on integers. Conversions are named `b_from_a`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: A slide whose mpp differs less than this from the model's is not resampled (relative).
MPP_TOLERANCE = 0.02


class Box(NamedTuple):
    """Half-open rectangle of pixels in a stated frame."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows, 0 if the box is empty."""
        return max(0, self.bottom - self.top)

    @property
    def width(self) -> int:
        """Columns, 0 if the box is empty."""
        return max(0, self.right - self.left)

    @property
    def area(self) -> int:
        """Pixels."""
        return self.height * self.width

    def shifted(self, rows: int, cols: int) -> Box:
        """The same box, moved."""
        return Box(self.top + rows, self.left + cols, self.bottom + rows, self.right + cols)

    def grown(self, margin: int) -> Box:
        """The box with `margin` pixels more on every side."""
        return Box(self.top - margin, self.left - margin, self.bottom + margin, self.right + margin)

    def clipped(self, height: int, width: int) -> Box:
        """The part of this box within (0, 0, height, width)."""
        return Box(max(0, self.top), max(0, self.left), min(height, self.bottom), min(width, self.right))

    def halves(self, unit: int = 1) -> list[Box]:
        """The box cut across its longer side, at a multiple of `unit` pixels; none if none lies within it."""
        first, last = (self.top, self.bottom) if self.height >= self.width else (self.left, self.right)
        cut = -(-(first + last) // (2 * unit)) * unit
        cut = cut if cut < last else cut - unit
        if not first < cut:
            return []
        if self.height >= self.width:
            return [self._replace(bottom=cut), self._replace(top=cut)]
        return [self._replace(right=cut), self._replace(left=cut)]

    def slices(self) -> tuple[slice, slice]:
        """Row and column slices that cut this box out of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Frame:
    """Where a scan's grid and map lie on the slide."""

    level0_height: int
    level0_width: int
    #: Micrometres per level-0 pixel.
    level0_mpp: float
    #: Micrometres per grid pixel.
    grid_mpp: float
    #: Grid pixels per map pixel.
    stride: int

    @property
    def scale(self) -> float:
        """Level-0 pixels per grid pixel."""
        return self.grid_mpp / self.level0_mpp

    @property
    def grid_height(self) -> int:
        """Rows of the grid."""
        return max(1, round(self.level0_height / self.scale))

    @property
    def grid_width(self) -> int:
        """Columns of the grid."""
        return max(1, round(self.level0_width / self.scale))

    @property
    def map_height(self) -> int:
        """Rows of the map."""
        return -(-self.grid_height // self.stride)

    @property
    def map_width(self) -> int:
        """Columns of the map."""
        return -(-self.grid_width // self.stride)

    @property
    def map_mpp(self) -> float:
        """Micrometres per map pixel."""
        return self.grid_mpp * self.stride

    @property
    def area_mm2(self) -> float:
        """Area of the whole slide."""
        return self.level0_height * self.level0_width * (self.level0_mpp / 1000) ** 2

    def level0_from_map(self, map_coordinate: float) -> float:
        """Level-0 coordinate of a map row or column."""
        return level0_from_grid(map_coordinate * self.stride, self.scale)

    def map_from_level0(self, level0_coordinate: float) -> float:
        """Map row or column, not rounded, of a level-0 coordinate."""
        return grid_from_level0(level0_coordinate, self.scale) / self.stride

    def level0_box_from_map(self, map_box: Box) -> Box:
        """The level-0 px that map px answer for: each up to the next one, the last up to the slide's border."""
        level0_px = self.stride * self.scale
        level0_box = Box(*(round(edge * level0_px) for edge in map_box))
        return level0_box.clipped(self.level0_height, self.level0_width)


def plan_frame(level0_shape: tuple[int, int], level0_mpp: float, model_mpp: float, stride: int) -> Frame:
    """The frame of a scan: the model's mpp, or the slide's own where they agree within MPP_TOLERANCE."""
    agree = abs(level0_mpp / model_mpp - 1) <= MPP_TOLERANCE
    return Frame(*level0_shape, level0_mpp, level0_mpp if agree else model_mpp, stride)


def level0_from_grid(grid_coordinate: float, scale: float) -> float:
    """Level-0 coordinate of the centre of a grid pixel."""
    return (grid_coordinate + 0.5) * scale - 0.5


def grid_from_level0(level0_coordinate: float, scale: float) -> float:
    """Grid coordinate, not rounded, of a level-0 coordinate."""
    return (level0_coordinate + 0.5) / scale - 0.5


def mirrored(start: int, stop: int, length: int) -> npt.NDArray[np.int64]:
    """The coordinates [start, stop), those outside [0, length) mirrored at its ends as often as it takes.

    The pixels at the ends are not repeated: -1 is 1, as in np.pad(mode="reflect").
    """
    period = max(1, 2 * (length - 1))
    turn = np.arange(start, stop) % period
    return np.minimum(turn, period - turn) if length > 1 else np.zeros_like(turn)
