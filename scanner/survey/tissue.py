"""Tissue mask: where scanning is worth it.

A cell of the slide is tissue if it absorbs light or has a colour, both above fixed thresholds: a threshold that adapts
to the slide (Otsu) would split a field that is all tissue, and find tissue on empty glass. Pen marks, surgical ink and
dark dirt are taken out (`scanner.survey.ink`). Not told apart from tissue are folds and pale dust; they cost time, and
losing tissue would cost figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.optical_density import OPTICAL_DENSITY
from scanner.geometry.circles import areas_within_circle
from scanner.geometry.frames import Box, Frame
from scanner.slides.pixels.protocol import Slide
from scanner.slides.pixels.thumbnail import Thumbnail, read_thumbnail
from scanner.survey.ink import find_ink
from scanner.survey.morphology import grown, without_edge, without_gaps, without_specks

Mask = npt.NDArray[np.bool_]

#: Side of a mask cell; a slide with larger pixels has one cell a pixel.
CELL_UM = 8.0
#: Mean optical density over the channels (base 10, white 255 = 0) above which a cell is tissue. Glass has 0.02 to 0.06.
ABSORPTION = 0.10
#: Spread of the optical density between the channels above which a cell is tissue. Glass has less than 0.01.
COLOUR = 0.03
#: A cell darker than this in every channel was not scanned: scanners leave such areas black.
BLACK = 16
#: Gaps up to twice this wide are closed.
CLOSING_UM = 16.0
#: Holes up to this size are tissue: fat, lumina, tears.
HOLE_UM2 = 20_000.0
#: Smaller islands are dust, unless the slide itself is small: then what is smaller than SPECK_SHARE of it.
SPECK_UM2 = 1_000.0
SPECK_SHARE = 0.02
#: Scanned around the tissue, so that a figure on its edge is seen whole.
RIM_UM = 32.0


@dataclass(frozen=True)
class TissueMask:
    """Cells of a slide that hold tissue, and those that are scanned.

    Cell (r, c) is the square of `mask_mpp` micrometres that starts at r, c * `mask_mpp` from the slide's top left. The
    last row and column may reach beyond the slide; areas count only what lies on it.
    """

    #: (rows, cols); cells that are scanned: tissue and a rim around it.
    values: Mask
    #: (rows, cols); cells that hold tissue: the area a mitotic count refers to.
    is_tissue: Mask
    #: Micrometres per cell.
    mask_mpp: float
    frame: Frame
    #: (rows, cols); cells that pen marks, ink or dirt cover: not scanned, not tissue. None: there are none.
    is_ink: Mask | None = None

    @property
    def ink_mm2(self) -> float:
        """Area of pen marks, ink and dirt."""
        return 0.0 if self.is_ink is None else self.area_of(self.is_ink)

    @property
    def area_mm2(self) -> float:
        """Area of the tissue."""
        return self.area_of(self.is_tissue)

    @property
    def scanned_mm2(self) -> float:
        """Area of the cells that are scanned."""
        return self.area_of(self.values)

    def counted_mm2(self, margin_um: float) -> float:
        """Area of the tissue that lies at least `margin_um` within the slide's true border: where figures count."""
        height_um, width_um = self._lengths_um()
        inside = (margin_um, height_um - margin_um), (margin_um, width_um - margin_um)
        return self._area_mm2(self.is_tissue, *inside)

    def area_of(self, cells: Mask) -> float:
        """Area, in mm2, of these cells, as far as they lie on the slide."""
        height_um, width_um = self._lengths_um()
        return self._area_mm2(cells, (0.0, height_um), (0.0, width_um))

    def area_within(self, level0_box: Box) -> float:
        """Area, in mm2, of the tissue within a box in level-0 px."""
        mpp = self.frame.level0_mpp
        box = level0_box.clipped(self.frame.level0_height, self.frame.level0_width)
        return self._area_mm2(self.is_tissue, (box.top * mpp, box.bottom * mpp), (box.left * mpp, box.right * mpp))

    def areas_in_circle(self, level0_centre: tuple[float, float], radius_px: float) -> tuple[float, float]:
        """Area of the slide, and of its tissue, in mm2 within a circle; its centre counts from the slide's corner."""
        mpp = self.frame.level0_mpp
        centre, radius_um = (level0_centre[0] * mpp, level0_centre[1] * mpp), radius_px * mpp
        lengths_um = self._lengths_um()
        near = [self._cells_near(*axis, radius_um) for axis in zip(centre, self.is_tissue.shape, strict=True)]
        edges = [
            np.minimum(np.arange(cells.start, cells.stop + 1) * self.mask_mpp, length)
            for cells, length in zip(near, lengths_um, strict=True)
        ]
        areas = areas_within_circle(edges[0], edges[1], centre, radius_um)
        return float(areas.sum()) / 1e6, float(areas[self.is_tissue[tuple(near)]].sum()) / 1e6

    def values_for(self, map_box: Box) -> Mask:
        """For every map px of a box within the map: whether the cell that it lies in is scanned; (h, w)."""
        rows, cols = self._cells_of(map_box)
        return self.values[rows[:, None], cols]

    def any_in(self, map_box: Box) -> bool:
        """True if any map px of a box within the map is scanned."""
        rows, cols = self._cells_of(map_box)
        return bool(self.values[np.unique(rows)[:, None], np.unique(cols)].any())

    def without(self, map_boxes: Iterable[Box]) -> TissueMask:
        """A copy without the cells whose centres lie in boxes of the map, e.g. those that could not be read."""
        values, is_tissue = self.values.copy(), self.is_tissue.copy()
        for box in map_boxes:
            rows = self._centred_between(box.top, box.bottom, self.frame.map_height)
            cols = self._centred_between(box.left, box.right, self.frame.map_width)
            values[rows, cols] = is_tissue[rows, cols] = False
        return replace(self, values=values, is_tissue=is_tissue)

    def _lengths_um(self) -> tuple[float, float]:
        """Height and width of the slide."""
        return self.frame.level0_height * self.frame.level0_mpp, self.frame.level0_width * self.frame.level0_mpp

    def _cells_of(self, map_box: Box) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Row and column of the cell that the centre of each map row and column lies in."""
        rows, cols = (
            ((np.arange(first, last) * self.frame.stride + 0.5) * self.frame.grid_mpp / self.mask_mpp).astype(np.intp)
            for first, last in ((map_box.top, map_box.bottom), (map_box.left, map_box.right))
        )
        # The grid is rounded to whole pixels and may end a fraction of one beyond the slide.
        return np.minimum(rows, self.values.shape[0] - 1), np.minimum(cols, self.values.shape[1] - 1)

    def _cells_near(self, place_um: float, count: int, reach_um: float) -> slice:
        """Which of `count` cells in a row may lie within reach of a place."""
        first = math.floor((place_um - reach_um) / self.mask_mpp)
        last = math.ceil((place_um + reach_um) / self.mask_mpp)
        return slice(min(max(0, first), count), min(max(0, last), count))

    def _centred_between(self, first: int, last: int, length: int) -> slice:
        """Cells in a row that have their centre between two edges of map px."""
        cell_px = self.mask_mpp / self.frame.map_mpp
        start = math.ceil(first / cell_px - 0.5)
        # The centre of the last cell may lie beyond the slide.
        return slice(start, None if last >= length else math.ceil(last / cell_px - 0.5))

    def _area_mm2(self, cells: Mask, rows_um: tuple[float, float], cols_um: tuple[float, float]) -> float:
        """Area of these cells between two heights and two widths on the slide."""
        heights, widths = (
            self._overlaps_um(*between, count) for between, count in zip((rows_um, cols_um), cells.shape, strict=True)
        )
        return float(heights @ cells @ widths) / 1e6

    def _overlaps_um(self, first_um: float, last_um: float, count: int) -> npt.NDArray[np.float64]:
        """How much of each of `count` cells in a row lies between two places."""
        edges = np.arange(count + 1) * self.mask_mpp
        return np.diff(np.clip(edges, first_um, max(first_um, last_um)))


def find_tissue(slide: Slide, frame: Frame, *, keep_ink: bool = False) -> TissueMask:
    """The tissue of a slide; empty for empty glass, and never dependent on how the slide is cut into tiles.

    Parameters
    ----------
    slide : Slide
        Read at a level of about CELL_UM.
    frame : Frame
        Of that slide.
    keep_ink : bool
        Take pen marks, ink and dark dirt for tissue.

    Returns
    -------
    TissueMask
        Where the slide cannot be read at the mask's level it counts as tissue: the scan finds out what can be read.
    """
    cell_um = max(CELL_UM, frame.level0_mpp)
    thumbnail = read_thumbnail(slide, frame, cell_um=cell_um)
    is_stained = absorbs_light(thumbnail.colours)
    is_ink, is_clean = (None, np.ones_like(is_stained)) if keep_ink else _find_ink(thumbnail, is_stained)
    found = (is_stained & is_clean) | ~thumbnail.is_readable
    is_tissue = without_gaps(found, radius=CLOSING_UM / cell_um, hole_cells=HOLE_UM2 / cell_um**2) & is_clean
    speck_um2 = min(SPECK_UM2, SPECK_SHARE * frame.area_mm2 * 1e6)
    is_tissue = without_specks(is_tissue, cells=speck_um2 / cell_um**2)
    return TissueMask(grown(is_tissue, RIM_UM / cell_um) & is_clean, is_tissue, cell_um, frame, is_ink)


def full_tissue(frame: Frame) -> TissueMask:
    """The mask that scans the whole slide and counts all of it as tissue."""
    cell_um = max(CELL_UM, frame.level0_mpp)
    shape = [math.ceil(length * frame.level0_mpp / cell_um) for length in (frame.level0_height, frame.level0_width)]
    everything = np.ones(shape, np.bool_)
    return TissueMask(everything, everything, cell_um, frame)


def absorbs_light(colours: npt.NDArray[np.uint8]) -> Mask:
    """Which of these colours are stained tissue rather than glass or unscanned black: (..., 3) -> (...)."""
    red, green, blue = (OPTICAL_DENSITY[colours[..., channel]] for channel in range(3))
    is_dark = (red + green + blue) / 3 > ABSORPTION
    lightest = np.minimum(np.minimum(red, green), blue)
    is_coloured = np.maximum(np.maximum(red, green), blue) - lightest > COLOUR
    is_scanned = lightest <= OPTICAL_DENSITY[BLACK]
    absorbs: Mask = (is_dark | is_coloured) & is_scanned
    return absorbs


def _find_ink(thumbnail: Thumbnail, is_stained: Mask) -> tuple[Mask | None, Mask]:
    """Cells that ink covers, None if there are none, and cells that it does not even touch.

    Black that reaches the slide's edge was not scanned, and is no ink.
    """
    colours = thumbnail.colours
    is_black = without_edge(colours.max(axis=2) < BLACK)
    touched = find_ink(colours, is_stained | is_black, thumbnail.cell_um) & thumbnail.is_readable
    is_ink = touched & (is_stained | is_black)
    return (is_ink if is_ink.any() else None), ~touched
