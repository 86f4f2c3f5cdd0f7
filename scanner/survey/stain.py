"""SlideStatistics: what normalisation must know of a slide as a whole, measured once and never per tile.

Part of a model's contract: the same slide gives the same statistics, whatever the tiles, workers or device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.normalisation import STAINED_CHANNELS, Normalisation, StainStatistics
from models.optical_density import OPTICAL_DENSITY
from scanner.errors import UnreadableRegionError
from scanner.geometry.arrays import Pixels
from scanner.geometry.frames import Box
from scanner.slides.pixels.grid import Grid
from scanner.survey.tissue import Mask, TissueMask, absorbs_light

#: Blocks that are sampled at most, and their side in grid px: 4 million pixels in all.
MAX_BLOCKS, BLOCK_PX = 64, 256
#: With fewer tissue pixels than this (a square of 100) the model's reference stain is used.
MIN_TISSUE_PX = 10_000
#: Spread of optical density assumed at least, so that flat colours are not blown up.
MIN_STD = 0.02


@dataclass(frozen=True)
class Block:
    """A block of a slide's sample, at the model's mpp; what is told from it is told once."""

    #: (h, w, 3) uint8.
    pixels: Pixels

    @cached_property
    def is_tissue(self) -> Mask:
        """Pixels that absorb light, (h, w): gaps between cells are none."""
        return absorbs_light(self.pixels)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many of its tissue's pixels have each value, by channel: (3, 256)."""
        is_tissue = self.is_tissue
        channels = (self.pixels[..., channel][is_tissue] for channel in range(STAINED_CHANNELS))
        return np.stack([np.bincount(values, minlength=256) for values in channels])


@dataclass(frozen=True)
class SlideStatistics:
    """What was measured on a slide, and on how much of it."""

    #: None where the model asks for none, or there is too little tissue: then the card's reference holds.
    stain: StainStatistics | None
    #: Grid pixels read.
    sampled_px: int
    #: Those of them that are tissue.
    tissue_px: int


def measure_slide(blocks: Iterable[Block], normalisation: Normalisation) -> SlideStatistics:
    """The statistics that `normalisation` needs, from blocks spread evenly over the tissue.

    Parameters
    ----------
    blocks : iterable of Block
        `read_blocks` of the slide; not asked for where nothing needs to be measured.
    normalisation : Normalisation
        The model's pixel contract.

    Returns
    -------
    SlideStatistics
    """
    if not normalisation.needs_statistics:
        return SlideStatistics(None, sampled_px=0, tissue_px=0)
    return stain_statistics(blocks)


def stain_statistics(blocks: Iterable[Block]) -> SlideStatistics:
    """Mean and standard deviation of the tissue's optical density.

    Parameters
    ----------
    blocks : iterable of Block
        Only their tissue counts, so that gaps between cells do not shift the stain.

    Returns
    -------
    SlideStatistics
        From exact counts: independent of the order of the blocks.
    """
    counts = np.zeros((STAINED_CHANNELS, 256), np.int64)
    sampled_px = 0
    for block in blocks:
        sampled_px += block.is_tissue.size
        counts += block.counts
    tissue_px = int(counts[0].sum())
    stain = _stain_from_counts(counts) if tissue_px >= MIN_TISSUE_PX else None
    return SlideStatistics(stain, sampled_px, tissue_px)


def sample_blocks(tissue: TissueMask) -> list[Box]:
    """At most MAX_BLOCKS boxes in grid px: of the blocks that hold tissue, every n-th in raster order."""
    blocks = _blocks_with_tissue(tissue)
    count = min(len(blocks), MAX_BLOCKS)
    ranks = (2 * np.arange(count) + 1) * len(blocks) // (2 * max(1, count))
    corners = (blocks[ranks] * BLOCK_PX).tolist()
    boxes = (Box(top, left, top + BLOCK_PX, left + BLOCK_PX) for top, left in corners)
    return [box.clipped(tissue.frame.grid_height, tissue.frame.grid_width) for box in boxes]


def _blocks_with_tissue(tissue: TissueMask) -> npt.NDArray[np.intp]:
    """(row, col) of the blocks of the grid that hold the centre of a tissue cell, in raster order; (n, 2)."""
    shape = (-(-tissue.frame.grid_height // BLOCK_PX), -(-tissue.frame.grid_width // BLOCK_PX))
    block_um = BLOCK_PX * tissue.frame.grid_mpp
    rows, cols = (
        # The centres of the last cells may lie beyond the slide.
        np.minimum(((cells + 0.5) * tissue.mask_mpp / block_um).astype(np.intp), count - 1)
        for cells, count in zip(np.nonzero(tissue.is_tissue), shape, strict=True)
    )
    holds_tissue = np.zeros(shape, np.bool_)
    holds_tissue[rows, cols] = True
    return np.argwhere(holds_tissue)


def read_blocks(grid: Grid, sample: Iterable[Box]) -> Iterator[Block]:
    """The blocks of `sample_blocks`; those that cannot be read are left out."""
    for box in sample:
        try:
            pixels = grid.read(box)
        except UnreadableRegionError:
            continue
        yield Block(pixels)


def _stain_from_counts(counts: npt.NDArray[np.int64]) -> StainStatistics:
    """Weighted mean and spread of the density of each channel's 256 values."""
    density = OPTICAL_DENSITY
    means = counts @ density / counts.sum(axis=1)
    variances = [float(row @ (density - mean) ** 2 / row.sum()) for row, mean in zip(counts, means, strict=True)]
    stds = tuple(max(MIN_STD, variance**0.5) for variance in variances)
    return StainStatistics(tuple(means.tolist()), stds)
