"""Appearance: how a slide looks, in six numbers that need no label; training and scanning measure it by this file.

Colour, contrast and detail of tissue, at the model's mpp. They show another stain, electron microscopy, a slide out of
focus, or one whose mpp is wrong; whether there are figures on it they do not show.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.optical_density import OPTICAL_DENSITY
from scanner.slides.pixels.grid import Grid
from scanner.survey.stain import MIN_STD, MIN_TISSUE_PX, Block, read_blocks, sample_blocks
from scanner.survey.tissue import TissueMask

#: What is measured, and how it is said. All are above zero.
STATISTICS = {
    "density": "mean optical density in green",
    "red_to_green": "density in red as a share of that in green",
    "blue_to_green": "density in blue as a share of that in green",
    "contrast": "spread of its density as a share of the mean",
    "fine_detail": "variation over 1 px as a share of that over 2 px",
    "coarse_detail": "variation over 4 px as a share of that over 8 px",
}
#: Distances over which variation is measured, grid px.
LAGS = (1, 2, 4, 8)
#: Decimals that are kept: sums round differently from machine to machine.
DECIMALS = 5
#: Mean densities are taken to be this at least, and mean squared differences the square of a grey level's density.
MIN_DENSITY, MIN_VARIATION = 1e-3, 1e-6

_RED, _GREEN, _BLUE = range(3)
_Values = npt.NDArray[np.float64]


def appearance_of(grid: Grid, tissue: TissueMask, blocks: Iterable[Block]) -> dict[str, float] | None:
    """Appearance of a slide: of its tissue, or, where there is hardly any, of what was taken for ink.

    Tissue in a stain of blue, green or black passes for ink (`scanner.survey.ink`): nothing of it is scanned, and
    without this nothing would be said.

    Parameters
    ----------
    grid : Grid
        The slide at the model's mpp.
    tissue : TissueMask
        All of its tissue.
    blocks : iterable of Block
        `read_blocks` of its sample.
    """
    found = measure_appearance(blocks)
    if found is None and tissue.is_ink is not None:
        ink = replace(tissue, is_tissue=tissue.is_ink)
        found = measure_appearance(read_blocks(grid, sample_blocks(ink)))
    return found


def measure_appearance(blocks: Iterable[Block]) -> dict[str, float] | None:
    """The statistics of STATISTICS over all tissue of a slide's sample.

    Parameters
    ----------
    blocks : iterable of Block
        Only their tissue counts.

    Returns
    -------
    dict of str to float, or None
        None if there are less than MIN_TISSUE_PX such pixels.
    """
    counts = np.zeros((3, 256), np.int64)
    variation = np.zeros((2, len(LAGS)))  # Sum of squared differences, and how many.
    for block in blocks:
        counts += block.counts
        red, green, blue = (OPTICAL_DENSITY[block.pixels[..., channel]] for channel in range(3))
        grey = (red + green + blue) / 3
        variation += np.transpose([_squared_differences(grey, block.is_tissue, lag) for lag in LAGS])
    count = int(counts[0].sum())
    if count < MIN_TISSUE_PX:
        return None
    first, second = counts @ OPTICAL_DENSITY, counts @ np.square(OPTICAL_DENSITY)
    return _describe(first / count, second / count, variation[0] / np.maximum(1, variation[1]))


def _squared_differences(values: _Values, counts: npt.NDArray[np.bool_], lag: int) -> tuple[float, int]:
    """Sum over pairs of pixels `lag` apart, down and across, of which both count; and how many there are."""
    total, pairs = 0.0, 0
    ahead, behind = slice(lag, None), slice(None, -lag)
    for one, other in (((ahead,), (behind,)), ((slice(None), ahead), (slice(None), behind))):
        both = counts[one] & counts[other]
        difference = values[one] - values[other]
        difference *= both
        total += float(np.einsum("ij,ij->", difference, difference))  # On this thread: BLAS would wake all others.
        pairs += int(np.count_nonzero(both))
    return total, pairs


def _describe(mean: _Values, mean_square: _Values, variation: _Values) -> dict[str, float]:
    mean = np.maximum(mean, MIN_DENSITY)
    spread = max(MIN_STD**2, mean_square[_GREEN] - mean[_GREEN] ** 2) ** 0.5
    one, two, four, eight = np.maximum(variation, MIN_VARIATION)
    found = (
        mean[_GREEN],
        mean[_RED] / mean[_GREEN],
        mean[_BLUE] / mean[_GREEN],
        spread / mean[_GREEN],
        one / two,
        four / eight,
    )
    return {
        name: max(10**-DECIMALS, round(float(value), DECIMALS)) for name, value in zip(STATISTICS, found, strict=True)
    }
