"""Slides some of whose tiles have no bytes, as scanners leave them out and writers lose them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

#: Tags of a TIFF's tiles or strips.
OFFSETS, BYTE_COUNTS = (324, 273), (325, 279)


def leave_out(path: Path, level: int, tiles: Iterable[int] | None = None, *, tag: str = "byte counts") -> None:
    """Take tiles, or strips, out of a TIFF's level: their byte counts, offsets or "both" are 0. None: all of them."""
    lost = None if tiles is None else list(tiles)
    names = {"byte counts": (BYTE_COUNTS,), "offsets": (OFFSETS,), "both": (BYTE_COUNTS, OFFSETS)}[tag]
    with tifffile.TiffFile(path, mode="r+b") as file:
        page = page_of(file, level)
        for codes in names:
            entry = next(page.tags[code] for code in codes if code in page.tags)
            values = np.atleast_1d(np.array(entry.value))
            values[slice(None) if lost is None else lost] = 0
            entry.overwrite(tuple(values.tolist()))


def page_of(file: tifffile.TiffFile, level: int) -> tifffile.TiffPage:
    """The page of a level, from the main chain or from the SubIFDs of the first."""
    first = file.pages.first
    page = first.pages[level - 1] if level and first.subifds else file.pages[level]
    assert isinstance(page, tifffile.TiffPage)
    return page


def reduced(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float64]:
    """Means of side x side squares; what is left over at the right and at the bottom is dropped."""
    height, width = pixels.shape[0] // side * side, pixels.shape[1] // side * side
    return pixels[:height, :width].reshape(height // side, side, width // side, side, -1).mean(axis=(1, 3))
