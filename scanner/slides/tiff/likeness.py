"""Whether two pages of a TIFF show the same picture, one of them reduced: seen at a few places."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
from tifffile import TiffPage

from scanner.errors import SlideError
from scanner.geometry.frames import Box
from scanner.slides.files.foreign import foreign_errors_become
from scanner.slides.pixels.mosaic import assemble
from scanner.slides.pixels.protocol import Level, Pixels
from scanner.slides.tiff.page import TiffLevel, plan_level

#: Compared squares per side of the page, cells per side of a square, and most pixels per side that are read for one.
PLACES, MEANS, MAX_SIDE = 3, 8, 1024
#: Grey values: below this spread a place is as good as blank; blank ones are alike within the tolerance.
BLANK_SPREAD, BLANK_TOLERANCE = 2.0, 16.0

Grey = npt.NDArray[np.float64]


def likeness(small: TiffPage, large: TiffPage) -> float | None:
    """How alike a page is to a larger one of the same proportions: 1 = the same picture, 0 = another.

    Correlation of what is left of the greys when each place's own mean is taken off: two pieces of tissue have their
    glass in the same corners, but no detail in common. None if no place can be read in both.
    """
    try:
        planned = plan_level(small, "small"), plan_level(large, "large")
    except SlideError:  # A kind of page that is not read: reported where the image is opened.
        return None
    products = powers_small = powers_large = 0.0
    is_seen = False
    for box_small, box_large in _places(planned[0], planned[1]):
        try:
            with foreign_errors_become(SlideError, "likeness"):
                one, other = _means(small, planned[0], box_small), _means(large, planned[1], box_large)
        except SlideError:
            continue
        is_seen = True
        if max(one.std(), other.std()) < BLANK_SPREAD and abs(one.mean() - other.mean()) < BLANK_TOLERANCE:
            continue
        one, other = one - one.mean(), other - other.mean()
        products += float((one * other).sum())
        powers_small += float((one * one).sum())
        powers_large += float((other * other).sum())
    if not is_seen:
        return None
    power = float(np.sqrt(powers_small * powers_large))
    if power == 0:  # Blank at every place; or in one of the pages alone.
        return 1.0 if powers_small == powers_large else 0.0
    return products / power


def _places(small: TiffLevel, large: TiffLevel) -> list[tuple[Box, Box]]:
    """Boxes of the same places in both."""
    down, across = large.height / small.height, large.width / small.width
    side = int(max(2 * MEANS, min(8 * MEANS, MAX_SIDE / max(down, across))))
    height, width = min(side, small.height), min(side, small.width)
    tops = np.unique(np.linspace(0, small.height - height, PLACES).astype(int))
    lefts = np.unique(np.linspace(0, small.width - width, PLACES).astype(int))
    boxes = [Box(int(top), int(left), int(top) + height, int(left) + width) for top in tops for left in lefts]
    return [(box, _scaled(box, down, across)) for box in boxes]


def _scaled(box: Box, down: float, across: float) -> Box:
    return Box(round(box.top * down), round(box.left * across), round(box.bottom * down), round(box.right * across))


def _means(page: TiffPage, level: TiffLevel, box: Box) -> Grey:
    """Greys of a box, as the means of MEANS x MEANS parts of it."""
    whole = Level(level.height, level.width, 1.0)
    shape, tile_at = (level.tile_height, level.tile_width), partial(_tile, page, level)
    grey: Grey = assemble(whole, box, tile_shape=shape, tile_at=tile_at, channels=level.channels).mean(axis=2)
    for axis in (0, 1):
        edges = np.linspace(0, grey.shape[axis], min(MEANS, grey.shape[axis]) + 1).astype(int)
        sums: Grey = np.add.reduceat(grey, edges[:-1], axis=axis)
        grey = sums / np.expand_dims(np.diff(edges), 1 - axis)
    return grey


def _tile(page: TiffPage, level: TiffLevel, row: int, col: int) -> Pixels:
    if not level.byte_counts[:, row * -(-level.width // level.tile_width) + col].all():
        raise SlideError("no bytes")
    return level.read_tile(page.parent.filehandle.fileno(), row, col)
