"""Masks that a user gives: areas drawn in QuPath, or a picture of the slide, that restrict a scan.

A mask is taken cell by cell of the tissue mask: a cell belongs to it if its centre does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import MaskError
from scanner.geometry.areas import Area, areas_from_geojson
from scanner.geometry.features import Ring
from scanner.geometry.filling import cells_within
from scanner.geometry.frames import Frame
from scanner.survey.mask_files import read_outlines
from scanner.survey.mask_pictures import read_picture
from scanner.survey.tissue import CELL_UM, Mask, TissueMask

Centres = npt.NDArray[np.float64]

#: Class of the areas that are scanned but not counted as tissue: what the tissue mask has around tissue.
RIM_CLASS = "Scanned rim"
#: The picture's sides may differ from the slide's proportions by this share, and by rounding.
PROPORTION = 0.02


def restrict(tissue: TissueMask, mask: Path, *, origin: tuple[int, int] = (0, 0)) -> TissueMask:
    """A tissue mask without what lies outside of a user's mask.

    Parameters
    ----------
    tissue : TissueMask
        Of the slide.
    mask : Path
        GeoJSON with polygons in level-0 px, x before y, as QuPath writes it; or a picture (PNG, TIFF) that covers the
        whole slide, of any size, scanned where it is not black.
    origin : (int, int)
        Level-0 (row, col) that GeoJSON counts from; see `Slide.origin`.

    Raises
    ------
    MaskError
        The file is no mask, or none of this slide; says why.
    """
    outlines = read_outlines(mask)
    if outlines is not None:
        areas = areas_from_geojson(outlines, mask)
        inner = _cover(tissue, [area for area in areas if area.name != RIM_CLASS], origin)
        outer = inner | _cover(tissue, [area for area in areas if area.name == RIM_CLASS], origin)
        is_elsewhere = bool(areas) and not outer.any()
    else:
        inner = outer = _sample(tissue, _read_picture(mask, tissue))
        is_elsewhere = False
    if is_elsewhere:
        frame = tissue.frame
        raise MaskError(f"{mask}: all of it lies outside the slide of {frame.level0_width} x {frame.level0_height} px")
    return replace(tissue, values=tissue.values & outer, is_tissue=tissue.is_tissue & inner)


def read_tissue(path: Path, frame: Frame, *, origin: tuple[int, int] = (0, 0)) -> TissueMask:
    """The tissue of a slide as `tissue.geojson` of its scan has it, to a cell; arguments as for `restrict`."""
    mask_mpp, shape = _cells_of(frame)
    everything = np.ones(shape, bool)
    return restrict(TissueMask(everything, everything, mask_mpp, frame), path, origin=origin)


def holds_cell(ring: Ring, frame: Frame) -> bool:
    """Whether a mask with this outline, (n, 2) in level-0 px from the slide's corner, holds any cell of the slide."""
    mask_mpp, shape = _cells_of(frame)
    return bool(cells_within([ring], *_centres_px(frame, shape, mask_mpp))[1].any())


def _cells_of(frame: Frame) -> tuple[float, tuple[int, int]]:
    """Micrometres per cell of a slide's tissue mask, and its rows and columns of cells."""
    mask_mpp = max(CELL_UM, frame.level0_mpp)
    rows, cols = (math.ceil(px * frame.level0_mpp / mask_mpp) for px in (frame.level0_height, frame.level0_width))
    return mask_mpp, (rows, cols)


def _cover(tissue: TissueMask, areas: list[Area], origin: tuple[int, int]) -> Mask:
    """Cells whose centres lie in any of these areas."""
    rows, cols = _centres_px(tissue.frame, tissue.values.shape, tissue.mask_mpp)
    covered = np.zeros_like(tissue.values)
    for area in areas:
        for rings in area.polygons:
            place, inside = cells_within([ring + origin for ring in rings], rows, cols)
            covered[place] |= inside
    return covered


def _sample(tissue: TissueMask, picture: Mask) -> Mask:
    """The picture's pixel under the centre of each cell."""
    frame, centres = tissue.frame, _centres_px(tissue.frame, tissue.values.shape, tissue.mask_mpp)
    lengths = frame.level0_height, frame.level0_width
    rows, cols = (
        np.minimum(middles * px / length, px - 1).astype(np.intp)
        for middles, px, length in zip(centres, picture.shape, lengths, strict=True)
    )
    sampled: Mask = picture[rows[:, None], cols]
    return sampled


def _centres_px(frame: Frame, shape: tuple[int, ...], mask_mpp: float) -> tuple[Centres, Centres]:
    """Centres of the rows and columns of cells, in level-0 px from the slide's corner: of the part on the slide."""
    cell_px = mask_mpp / frame.level0_mpp
    lengths = frame.level0_height, frame.level0_width
    edges = [np.minimum(np.arange(n + 1) * cell_px, px) for n, px in zip(shape, lengths, strict=True)]
    rows, cols = ((edge[:-1] + edge[1:]) / 2 for edge in edges)
    return rows, cols


def _read_picture(path: Path, tissue: TissueMask) -> Mask:
    """Where a picture of the slide is not black, as (height, width)."""
    frame, pixels = tissue.frame, read_picture(path)
    height, width = pixels.shape
    expected = height * frame.level0_width / frame.level0_height
    if abs(width - expected) > max(1.0, PROPORTION * expected):
        raise MaskError(
            f"{path}: {width} x {height} px have other proportions than the slide of "
            f"{frame.level0_width} x {frame.level0_height} px, which a mask must cover as a whole"
        )
    return pixels
