"""A slide at a coarse mpp: mean colours of square cells, streamed so that memory stays bounded on any pyramid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.errors import UnreadableRegionError
from scanner.geometry.frames import Box, Frame
from scanner.slides.pixels.colour import shown_as_rgb
from scanner.slides.pixels.protocol import WHITE, Pixels, ReadableMask, Slide, read_masked

Edges = npt.NDArray[np.intp]

#: Level pixels that are read at once: 12 MB of RGB.
STRIP_PX = 2**22
#: Level pixels that are summed at once.
SUMMED_PX = 2**20
#: Side, in cells, of an unreadable box that is not cut any further in search of readable parts.
SMALLEST_CUT = 8


@dataclass(frozen=True)
class Thumbnail:
    """Mean colours of a slide's cells; cell (r, c) is the square of `cell_um` that starts at r, c * `cell_um`."""

    #: (rows, cols, 3); white where nothing can be read.
    colours: npt.NDArray[np.uint8]
    #: (rows, cols); False where the pixels cannot be decoded.
    is_readable: npt.NDArray[np.bool_]
    #: Side of a cell in micrometres.
    cell_um: float


@dataclass(frozen=True)
class _CellPlan:
    """Which pixels of which level make up the cells."""

    level: int
    #: First pixel row of each row of cells, then the level's height; likewise the columns.
    row_edges: Edges
    col_edges: Edges

    def level_box(self, cells: Box) -> Box:
        rows, cols = self.row_edges, self.col_edges
        return Box(int(rows[cells.top]), int(cols[cells.left]), int(rows[cells.bottom]), int(cols[cells.right]))


def read_thumbnail(slide: Slide, frame: Frame, *, cell_um: float, within: Box | None = None) -> Thumbnail:
    """The mean colour of every cell of a slide.

    Parameters
    ----------
    slide : Slide
        Read at the smallest level whose pixels are not larger than a cell.
    frame : Frame
        Of that slide.
    cell_um : float
        Side of a cell, not smaller than a level-0 pixel. Cells may reach beyond the slide at the bottom and the right:
        their mean is that of the part on the slide.
    within : Box, optional
        Only these cells, which are the same as those of the whole slide; cells beyond the slide are left out.

    Returns
    -------
    Thumbnail
        Mean colours, and which cells could be read.
    """
    plan = _plan_cells(slide, frame, cell_um)
    slide_rows, slide_cols = len(plan.row_edges) - 1, len(plan.col_edges) - 1
    wanted = (within or Box(0, 0, slide_rows, slide_cols)).clipped(slide_rows, slide_cols)
    colours = np.full((wanted.height, wanted.width, 3), WHITE, np.uint8)
    is_readable = np.ones((wanted.height, wanted.width), np.bool_)
    strip_rows = max(1, STRIP_PX * slide_rows // (int(plan.row_edges[-1]) * int(plan.col_edges[-1])))
    for top in range(wanted.top, wanted.bottom, strip_rows):
        strip = Box(top, wanted.left, min(top + strip_rows, wanted.bottom), wanted.right)
        for cells, means, can_be_read in _read_cells(slide, plan, strip):
            place = cells.shifted(-wanted.top, -wanted.left).slices()
            is_readable[place] = can_be_read
            colours[place] = means
    return Thumbnail(colours, is_readable, cell_um)


def choose_level(slide: Slide, frame: Frame, cell_um: float) -> int:
    """Index of the smallest level whose pixels are not larger than a cell."""
    cell_px = cell_um / frame.level0_mpp
    fitting = [index for index, level in enumerate(slide.levels) if level.downsample <= cell_px]
    return max(fitting, key=lambda index: slide.levels[index].downsample, default=0)


def _plan_cells(slide: Slide, frame: Frame, cell_um: float) -> _CellPlan:
    cell_px = cell_um / frame.level0_mpp
    index = choose_level(slide, frame, cell_um)
    level = slide.levels[index]
    return _CellPlan(
        index,
        row_edges=_edges(frame.level0_height / cell_px, cell_px / level.downsample, level.height),
        col_edges=_edges(frame.level0_width / cell_px, cell_px / level.downsample, level.width),
    )


def _edges(cells: float, cell_px: float, length: int) -> Edges:
    """Where `cells` cells of `cell_px` pixels begin among `length` pixels, and `length`."""
    starts = np.rint(np.arange(math.ceil(cells)) * cell_px).astype(np.intp)
    return np.append(np.minimum(starts, length - 1), length)


def _read_cells(slide: Slide, plan: _CellPlan, cells: Box) -> Iterator[tuple[Box, Pixels, ReadableMask | bool]]:
    """Boxes that make up `cells`, each with its mean colours, and which of them can be read."""
    try:
        pixels, readable = read_masked(slide, plan.level, plan.level_box(cells))
    except UnreadableRegionError:
        if max(cells.height, cells.width) <= SMALLEST_CUT:
            yield cells, np.full((1, 1, 3), WHITE, np.uint8), False
            return
        for half in _halves(cells):
            yield from _read_cells(slide, plan, half)
    else:
        are_readable = True if readable is None else _all(readable, plan, cells)
        yield cells, _cell_means(shown_as_rgb(pixels), plan, cells), are_readable


def _all(readable: ReadableMask, plan: _CellPlan, cells: Box) -> ReadableMask:
    """Which cells hold no pixel that cannot be read: (h, w) of the level -> (rows, cols)."""
    rows = plan.row_edges[cells.top : cells.bottom] - plan.row_edges[cells.top]
    cols = plan.col_edges[cells.left : cells.right] - plan.col_edges[cells.left]
    lacking = np.logical_or.reduceat(np.logical_or.reduceat(~readable, rows, axis=0), cols, axis=1)
    whole: ReadableMask = ~lacking
    return whole


def _cell_means(pixels: Pixels, plan: _CellPlan, cells: Box) -> Pixels:
    """(h, w, 3) of the level -> (rows, cols, 3), rounded half up."""
    rows = plan.row_edges[cells.top : cells.bottom + 1]
    cols = plan.col_edges[cells.left : cells.right + 1]
    means = np.empty((cells.height, cells.width, 3), np.uint8)
    # A few rows of cells at a time: sums take four times the memory of what they add.
    step = max(1, SUMMED_PX * cells.height // max(1, pixels.shape[0] * pixels.shape[1]))
    for first in range(0, cells.height, step):
        edges = rows[first : first + step + 1]
        # Where two cells share the level's last pixel, the second has it all the same.
        bottom = max(edges[-1], edges[-2] + 1)
        means[first : first + step] = _means_between(pixels[edges[0] - rows[0] : bottom - rows[0]], edges, cols)
    return means


def _means_between(pixels: Pixels, rows: Edges, cols: Edges) -> Pixels:
    """Means of the pixels between the edges of rows and columns of cells; `pixels` starts at the first of both."""
    # Where two cells share the level's last pixel, each has it.
    heights, widths = np.maximum(1, np.diff(rows)), np.maximum(1, np.diff(cols))
    sums = _sums_of_rows(pixels, rows[:-1] - rows[0], heights)  # (rows, w, 3)
    sums = _sums_of_rows(sums.swapaxes(0, 1), cols[:-1] - cols[0], widths).swapaxes(0, 1)  # (rows, cols, 3)
    counts = (heights[:, None] * widths).astype(np.uint32)[..., None]
    means: Pixels = ((sums + counts // 2) // counts).astype(np.uint8)
    return means


def _sums_of_rows(values: npt.NDArray[Any], starts: Edges, lengths: Edges) -> npt.NDArray[np.uint32]:
    """For each run of rows its sum: (h, w, 3) -> (runs, w, 3)."""
    # The first row of all runs, then the second: a few large additions, where reduceat makes one for every few pixels.
    sums = values[starts].astype(np.uint32)
    for further in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > further)
        sums[longer] += values[starts[longer] + further]
    return sums


def _halves(box: Box) -> tuple[Box, Box]:
    if box.height >= box.width:
        middle = (box.top + box.bottom) // 2
        return Box(box.top, box.left, middle, box.right), Box(middle, box.left, box.bottom, box.right)
    middle = (box.left + box.right) // 2
    return Box(box.top, box.left, box.bottom, middle), Box(box.top, middle, box.bottom, box.right)
