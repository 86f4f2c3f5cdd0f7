"""Resampling whose result does not depend on how an image is cut: every sum is exact.

Weights are whole multiples of 1 / 4096 and pixels whole numbers, so all products and sums stay whole numbers below
2^24. float32 holds those without rounding: whatever the order of the terms, the library or the processor, an
output pixel has the same bits. Its taps follow from its absolute position alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scanner.geometry.frames import Box
from scanner.slides.pixels.protocol import RGB, Pixels

#: Weights of one output pixel add up to this.
ONE = 4096
#: Between the two passes a grey level has this many steps. ONE * STEPS * 255 * 1.25**2 < 2**24: see above.
STEPS = 8
#: Keys' cubic with a = -1/2 (Catmull-Rom) reaches two pixels to either side.
REACH = 2.0
#: Side of the piece that is worked on at once: its float32 copy fits a second-level cache.
PIECE = 320  # level px


@dataclass(frozen=True)
class Axis:
    """How one axis of a level becomes one axis of the grid: grid px g is centred on (g + 0.5) * ratio - 0.5."""

    #: Level px.
    length: int
    #: Level px per grid px.
    ratio: float

    @property
    def widening(self) -> float:
        """How much wider than a level pixel the kernel is: when reducing, as wide as the grid, so nothing aliases."""
        return max(1.0, self.ratio)

    @property
    def piece(self) -> int:
        """Grid px to work on at once: PIECE level px where the axis is reduced, but many against its taps."""
        return int(max(PIECE / self.widening, 8 * REACH))

    def matrix(self, start: int, stop: int) -> tuple[sparse.csr_array, int, int]:
        """(weights, first, last): grid px [start, stop) = weights @ level px [first, last), in units of 1 / ONE.

        Taps beyond the level fall on its last pixel: a grid's edge may reach half a pixel over.
        """
        centres = (np.arange(start, stop) + 0.5) * self.ratio - 0.5
        reach = REACH * self.widening
        count = math.floor(2 * reach) + 1
        taps = np.ceil(centres - reach).astype(np.int64)[:, None] + np.arange(count)  # (stop - start, count)
        weights = whole_weights(keys_cubic((taps - centres[:, None]) / self.widening))
        taps = taps.clip(0, self.length - 1)
        first, last = int(taps[0, 0]), int(taps[-1, -1]) + 1
        row_starts = np.arange(0, taps.size + 1, count)
        shape = (stop - start, last - first)
        return sparse.csr_array((weights.ravel(), (taps - first).ravel(), row_starts), shape=shape), first, last


def resample(read: Callable[[Box], Pixels], box: Box, *, rows: Axis, cols: Axis, channels: int = RGB) -> Pixels:
    """Grid pixels of `box`, made from the level pixels that `read` gives."""
    pixels = np.empty((box.height, box.width, channels), np.uint8)
    for top in range(box.top, box.bottom, rows.piece):
        for left in range(box.left, box.right, cols.piece):
            piece = Box(top, left, min(top + rows.piece, box.bottom), min(left + cols.piece, box.right))
            pixels[piece.shifted(-box.top, -box.left).slices()] = _resample_piece(read, piece, rows, cols)
    return pixels


def _resample_piece(read: Callable[[Box], Pixels], piece: Box, rows: Axis, cols: Axis) -> Pixels:
    down, top, bottom = rows.matrix(piece.top, piece.bottom)
    across, left, right = cols.matrix(piece.left, piece.right)
    return weigh(read(Box(top, left, bottom, right)), down, across)


def weigh(level_pixels: Pixels, down: sparse.csr_array, across: sparse.csr_array) -> Pixels:
    """(h, w, channels) weighted by matrices (rows, h) and (cols, w) of whole numbers -> (rows, cols, channels)."""
    height, width, _ = level_pixels.shape
    halfway = down @ level_pixels.astype(np.float32).reshape(height, -1)  # (rows, w * channels)
    _round_in_place(halfway, STEPS / ONE)
    # (cols, channels * rows)
    values: npt.NDArray[np.float32] = across @ np.ascontiguousarray(halfway.T).reshape(width, -1)
    _round_in_place(values, 1 / (STEPS * ONE))
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8).reshape(across.shape[0], -1, down.shape[0]).transpose(2, 0, 1)


def _round_in_place(values: npt.NDArray[np.float32], factor: float) -> None:
    # Both factors are powers of two: the product is as exact as the sums.
    np.multiply(values, np.float32(factor), out=values)
    np.rint(values, out=values)


def keys_cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cubic convolution kernel, a = -1/2 (Keys 1981): 1 at 0, 0 at every other whole distance and from 2 on."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def whole_weights(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Each row of `weights` (n, taps) as whole numbers that add up to ONE.

    The running sum is rounded, not each weight, so that rounding errors cannot add up.
    """
    running = np.cumsum(weights, axis=1)
    whole = np.rint(running / running[:, -1:] * ONE)
    return np.diff(whole, axis=1, prepend=0).astype(np.float32)
