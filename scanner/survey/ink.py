"""Pen marks, surgical ink and dark dirt among the cells of a slide: by hues that no stain of tissue has, and by shape.

In optical density haematoxylin takes red and green alike and little blue, eosin and blood take green and blue and
some red, DAB takes blue before green before red. A cell whose density is nearly all in one channel, or in two that no
stain couples, is ink; no island of tissue as large as a stroke reaches these limits in 700 fields of several scanners.
Black ink has no hue: it is dark in all channels alike and smooth along the stroke, where pigment in tissue
(anthracosis, melanin) is granular.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.optical_density import OPTICAL_DENSITY

Mask = npt.NDArray[np.bool_]
Colours = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

#: Optical density of each 8-bit value; half the memory of float64 for the cells of a whole slide.
DENSITIES = OPTICAL_DENSITY.astype(np.float32)
#: Sum of the three channels' densities above which a cell may begin a mark; yellow is lighter to the eye than all.
BEGINS, YELLOW_BEGINS, GREY_BEGINS = 0.22, 0.15, 0.30
#: Marks are islands that hold at least this much of what is certain.
MARK_UM2 = 1_500.0
#: Difference between the channels' shares up to which a cell is grey.
GREY = 0.07
#: Density in each channel above which nothing but opaque ink lies; tissue lets more light through in some channel.
OPAQUE = 0.9
#: Cells in a row that are compared to see whether a grey island is smooth; how far their densities may deviate, and the
#: share of an island's cells that must be smooth in some direction.
ROW, SMOOTH, SMOOTH_SHARE = 5, 0.04, 0.6
#: Cells around a mark that it covers in part.
FRINGE = 1
#: With less glass its colour is not known.
GLASS_SHARE = 0.01
_EIGHT = np.ones((3, 3), np.bool_)
#: Row, column and both diagonals.
_LINES = (np.ones((1, ROW)), np.ones((ROW, 1)), np.eye(ROW), np.eye(ROW)[::-1])


@dataclass(frozen=True)
class _Cells:
    """The cells that absorb light."""

    #: Where they lie, (rows, cols).
    where: Mask
    #: Sum of the densities of the channels, and the share of each in it; (n,).
    total: Floats
    red: Floats
    green: Floats
    blue: Floats

    def spread(self, chosen: Mask) -> Mask:
        """Chosen ones of the n cells, in their places on the slide."""
        spread = np.zeros(self.where.shape, np.bool_)
        spread[self.where] = chosen
        return spread


def find_ink(colours: Colours, absorbs: Mask, cell_um: float) -> Mask:
    """Which cells of a slide are ink or dark dirt, on glass or over tissue.

    Parameters
    ----------
    colours : ndarray of shape (rows, cols, 3), uint8
        Mean colours of the cells.
    absorbs : ndarray of shape (rows, cols), bool
        Cells that are no glass; what glass absorbs is taken off them.
    cell_um : float
        Side of a cell.

    Returns
    -------
    ndarray of shape (rows, cols), bool
        With a rim of FRINGE cells, which a mark may cover in part.
    """
    cells = _measure(colours, absorbs)
    least = MARK_UM2 / cell_um**2
    marks = np.zeros(absorbs.shape, np.bool_)
    for certain, possible in _hues(cells):
        if certain.sum() >= least:
            marks |= _islands(cells.spread(certain), cells.spread(possible), least)
    marks |= _grey_marks(cells, colours, least)
    if not marks.any():
        return marks
    fringed: Mask = ndimage.binary_dilation(marks, _EIGHT, iterations=FRINGE)
    return fringed


def _measure(colours: Colours, absorbs: Mask) -> _Cells:
    channels = [DENSITIES[colours[..., channel][absorbs]] for channel in range(3)]
    if 1 - absorbs.mean() > GLASS_SHARE:
        glass = [DENSITIES[int(np.median(colours[..., channel][~absorbs]))] for channel in range(3)]
        channels = [np.maximum(density - clear, 0) for density, clear in zip(channels, glass, strict=True)]
    total = channels[0] + channels[1] + channels[2]
    return _Cells(absorbs, total, *(channel / np.maximum(total, 1e-6) for channel in channels))


def _hues(cells: _Cells) -> list[tuple[Mask, Mask]]:
    """For blue, green, red and yellow: cells that are certainly ink of that colour, and such as may be its edge."""
    begins, red, green, blue = cells.total > BEGINS, cells.red, cells.green, cells.blue
    return [
        (begins & (red > 0.43) & (green > blue), (red > 0.40) & (green > blue - 0.05)),
        (begins & (red - green > 0.10) & (blue - green > 0.05), (red - green > 0.04) & (blue > green)),
        (begins & (red < 0.08) & (blue - green > -0.10), (red < 0.18) & (blue - green > -0.12)),
        (
            (cells.total > YELLOW_BEGINS) & (blue - green > 0.30) & (red < 0.20),
            (blue - green > 0.12) & (red < 0.27),
        ),
    ]


def _islands(certain: Mask, possible: Mask, least: float) -> Mask:
    """Islands of possible cells that hold enough certain ones."""
    labels, count = ndimage.label(certain | possible, structure=_EIGHT)
    return _taken(labels, np.bincount(labels[certain], minlength=count + 1) >= least)


def _grey_marks(cells: _Cells, colours: Colours, least: float) -> Mask:
    """Black marks: opaque, or grey and smooth."""
    highest = np.maximum(np.maximum(cells.red, cells.green), cells.blue)
    is_grey = highest - np.minimum(np.minimum(cells.red, cells.green), cells.blue) < GREY
    dark = cells.spread(is_grey & (cells.total > GREY_BEGINS))
    if dark.sum() < least:
        return np.zeros(dark.shape, np.bool_)
    labels, count = ndimage.label(cells.spread(is_grey), structure=_EIGHT)
    sizes = np.bincount(labels[dark], minlength=count + 1)
    is_mark = np.bincount(labels[dark & (DENSITIES[colours.max(axis=2)] > OPAQUE)], minlength=count + 1) >= least
    places = ndimage.find_objects(labels)
    for label in np.flatnonzero((sizes >= least) & ~is_mark):
        if label:
            place = places[label - 1]
            island = dark[place] & (labels[place] == label)
            smooth = _is_smooth(DENSITIES[colours[place]].mean(axis=2), island)
            is_mark[label] = (smooth & island).sum() >= SMOOTH_SHARE * sizes[label]
    return _taken(labels, is_mark)


def _taken(labels: npt.NDArray[np.int32], is_mark: Mask) -> Mask:
    """The cells of the islands that are marks; 0 is sea."""
    is_mark[0] = False
    taken: Mask = is_mark[labels]
    return taken


def _is_smooth(density: Floats, island: Mask) -> Mask:
    """Cells that lie with others of the island in a row, column or diagonal along which the density hardly changes."""
    smooth = np.zeros(density.shape, np.bool_)
    for line in _LINES:
        whole = ndimage.binary_erosion(island, line)
        mean = ndimage.correlate(density, line / ROW, mode="nearest")
        variance = ndimage.correlate(density * density, line / ROW, mode="nearest") - mean * mean
        smooth |= ndimage.binary_dilation(whole & (variance < SMOOTH**2), line)
    return smooth
