"""Peaks of a probability map: local maxima, thinned by NMS.

Both steps are defined by values and positions alone, so the peaks do not depend on how the map is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from scanner.geometry.frames import Box
from scanner.maps.smoothing import Map, ReadMap

Indices = npt.NDArray[np.intp]

#: Offsets (rows, cols) of six of a pixel's eight neighbours; those in its row are compared with first.
NEIGHBOURS_ABOVE_AND_BELOW = ((-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1))
#: Map pixels that are searched at once: 16 MB of float32, of which a few copies are made.
BAND_PX = 2**22
#: Offsets (rows, cols) of a cell and the eight around it.
_CELLS_AROUND = tuple(product((0, -1, 1), repeat=2))


@dataclass(frozen=True, slots=True)
class Peak:
    """A local maximum of the smoothed map, in map px."""

    row: int
    col: int
    #: Smoothed value.
    score: float


@dataclass(frozen=True)
class PeakSettings:
    """What counts as a peak."""

    #: Lower local maxima are no peaks.
    floor: float
    #: Two peaks are farther apart than this, in map px.
    radius_px: float
    #: Map rows searched at once; None: as many as BAND_PX allows. Never changes the peaks.
    band_rows: int | None = None


def find_peaks(values: Map, *, floor: float) -> list[Peak]:
    """Local maxima of a map, in raster order.

    Parameters
    ----------
    values : ndarray of shape (H, W), float32
        The smoothed map.
    floor : float
        Lower maxima are left out.

    Returns
    -------
    list of Peak
        Pixels that are higher than their neighbours before them in raster order and not lower than those after them:
        of a flat top the first pixel (of one with several arms, the first of each; NMS keeps one).
    """
    return _peaks_within(np.pad(values, 1, constant_values=-np.inf), floor)


def suppress(peaks: Iterable[Peak], radius_px: float) -> list[Peak]:
    """The peaks that NMS keeps, best first.

    Greedy: the best peak stays and removes all others within `radius_px`, then the best of the rest, and so on. Ties
    go to the smaller (row, col). So kept peaks are farther apart than `radius_px`, and every other one lies within
    `radius_px` of a better one.
    """
    side, reach = max(radius_px, 1.0), radius_px * radius_px
    # By cell of that side: whatever lies within the radius of a peak is in its cell or next to it, a handful in each.
    kept_in: defaultdict[tuple[int, int], list[Peak]] = defaultdict(list)
    kept: list[Peak] = []
    for peak in sorted(peaks, key=lambda peak: (-peak.score, peak.row, peak.col)):
        row, col = int(peak.row // side), int(peak.col // side)
        around = [(row + down, col + across) for down, across in _CELLS_AROUND if (row + down, col + across) in kept_in]
        if any(_squared_distance(peak, other) <= reach for cell in around for other in kept_in[cell]):
            continue
        kept_in[row, col].append(peak)
        kept.append(peak)
    return kept


def _squared_distance(one: Peak, other: Peak) -> int:
    return (one.row - other.row) ** 2 + (one.col - other.col) ** 2


def find_map_peaks(read: ReadMap, shape: tuple[int, int], settings: PeakSettings) -> list[Peak]:
    """The peaks that NMS keeps in a map too large to be held at once, best first.

    Parameters
    ----------
    read : callable
        Box within the smoothed map, in map px -> ndarray of shape (h, w), float32.
    shape : (int, int)
        Height and width of the map.
    settings : PeakSettings
        What counts as a peak.

    Returns
    -------
    list of Peak
        The same for every `band_rows`.
    """
    height, width = shape
    rows = settings.band_rows or max(1, BAND_PX // width)
    candidates: list[Peak] = []
    for top in range(0, height, rows):
        band = Box(top, 0, min(top + rows, height), width)
        framed = _read_framed(read, band, height)
        candidates += _peaks_within(framed, settings.floor, first_row=top)
    return suppress(candidates, settings.radius_px)


def _read_framed(read: ReadMap, band: Box, height: int) -> Map:
    """A full-width band with one more pixel on every side: (h + 2, w + 2); outside the map, minus infinity."""
    source = Box(max(0, band.top - 1), band.left, min(height, band.bottom + 1), band.right)
    missing = (source.top - (band.top - 1), band.bottom + 1 - source.bottom)
    return np.pad(read(source), (missing, (1, 1)), constant_values=-np.inf)


def _peaks_within(framed: Map, floor: float, *, first_row: int = 0) -> list[Peak]:
    """Peaks among the inner pixels of `framed`, whose outermost pixels are only compared with."""
    rows, cols = _local_maxima(framed, floor)
    scores: Sequence[float] = framed[rows, cols].tolist()
    places = zip((rows - 1 + first_row).tolist(), (cols - 1).tolist(), scores, strict=True)
    return [Peak(row, col, score) for row, col, score in places]


def _local_maxima(framed: Map, floor: float) -> tuple[Indices, Indices]:
    inner = framed[1:-1, 1:-1]
    rows, cols = np.nonzero((inner >= floor) & (inner > framed[1:-1, :-2]) & (inner >= framed[1:-1, 2:]))
    rows, cols = rows + 1, cols + 1
    for offset in NEIGHBOURS_ABOVE_AND_BELOW:
        values, others = framed[rows, cols], framed[rows + offset[0], cols + offset[1]]
        is_higher = values > others if offset < (0, 0) else values >= others
        rows, cols = rows[is_higher], cols[is_higher]
    return rows, cols
