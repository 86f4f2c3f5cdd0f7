"""Pictures as masks: where a PNG or TIFF is not black, whatever black is stored as.

A mask may hold labels (0, 1, 2), so the least value that is not black counts: pixels are not brought to 8 bits, as
those of slides are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from tifffile import PHOTOMETRIC

from scanner.errors import MaskError

#: Pixels of the largest picture that is taken: cells are micrometres wide, so more would say nothing more.
LARGEST_PX = 2**26
_TIFF_SUFFIXES = (".tif", ".tiff")
#: PIL's modes whose values are levels of grey.
_GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B")


def read_picture(path: Path) -> npt.NDArray[np.bool_]:
    """Where a picture is not black, (height, width); opacity is no colour.

    Raises
    ------
    MaskError
        It has more than LARGEST_PX pixels.
    Exception
        Whatever a reader raises on a broken file.
    """
    pixels = _pixels_of_tiff(path) if path.suffix.lower() in _TIFF_SUFFIXES else _pixels_of_image(path)
    return np.asarray(pixels.any(axis=2)) if pixels.ndim == 3 else pixels


def _pixels_of_tiff(path: Path) -> npt.NDArray[np.bool_]:
    with tifffile.TiffFile(path) as tiff:
        levels = [level for level in tiff.series[0].levels if level.size <= LARGEST_PX]
        if not levels:
            raise _too_large(path)
        page, values = levels[0].keyframe, levels[0].asarray()
        colormap = page.colormap if page.photometric == PHOTOMETRIC.PALETTE else None
    # Colours may come first.
    values = np.moveaxis(values, 0, -1) if values.ndim == 3 and values.shape[0] in (3, 4) else values
    if values.ndim == 3:
        samples = 1 if values.shape[2] == 2 else 3  # Grey with opacity, or colours, perhaps with opacity.
        values = values[..., :samples]
    if colormap is not None:
        is_coloured = np.any(np.asarray(colormap), axis=0)  # (colours,)
        return np.asarray(np.take(is_coloured, values))
    black = 2**page.bitspersample - 1 if page.photometric == PHOTOMETRIC.MINISWHITE else 0
    is_scanned: npt.NDArray[np.bool_] = np.asarray(values) != black
    return is_scanned


def _pixels_of_image(path: Path) -> npt.NDArray[np.bool_]:
    with Image.open(path) as picture:
        if picture.width * picture.height > LARGEST_PX:
            raise _too_large(path)
        values = np.asarray(picture if picture.mode in _GREY_MODES else picture.convert("RGB"))
    return np.asarray(values != 0)


def _too_large(path: Path) -> MaskError:
    return MaskError(f"{path}: too large; save it with fewer pixels, at most {LARGEST_PX} of them")
