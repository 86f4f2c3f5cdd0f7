"""Pictures as masks: where a PNG or TIFF is not black, whatever black is stored as.

A mask may hold labels (0, 1, 2), so the least value that is not black counts: pixels are not brought to 8 bits, as
those of slides are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from tifffile import PHOTOMETRIC

from scanner.errors import MaskError
from scanner.files.regular_files import open_regular
from scanner.slides.files.library_words import in_our_words
from scanner.slides.files.magic import TIFF_HEADS, describe_unknown
from scanner.slides.files.unread import HEAD_BYTES, recognise

#: Pixels of the largest picture that is taken: cells are micrometres wide, so more would say nothing more.
LARGEST_PX = 2**26
#: PIL's modes whose values are levels of grey.
_GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B")
_PICTURE_HEADS = (*TIFF_HEADS, b"\x89PNG", b"\xff\xd8", b"BM", b"RIFF")
#: Place of the bit depth in a PNG: behind signature, length and name of the header, width and height.
_PNG_DEPTH = 24
_WAY_OUT = "save it as PNG, or as TIFF of one plane, grey or RGB"

NotBlack = npt.NDArray[np.bool_]


def read_picture(path: Path) -> NotBlack:
    """Where a picture is not black, (height, width); opacity is no colour.

    Raises
    ------
    MaskError
        It is no picture, of a kind that is not read, or has more than LARGEST_PX pixels; says what it is.
    """
    head = b""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
        return _of_tiff(path) if head.startswith(TIFF_HEADS) else _of_image(path)
    except MaskError:
        raise
    except Exception as error:  # Readers raise whatever they please on broken files.
        if head.startswith(_PICTURE_HEADS):
            what = f"it is damaged ({in_our_words(error)}); save it again"
        else:
            what = recognise(head, path) or (describe_unknown(head) if head else "the file is empty")
        raise MaskError(f"{path}: neither GeoJSON nor a picture that can be read: {what}") from error


def _of_tiff(path: Path) -> NotBlack:
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        sides = zip(series.axes, series.shape, strict=True)
        if further := [f"{axis} = {side}" for axis, side in sides if axis not in "YXS" and side > 1]:
            raise MaskError(f"{path}: several planes ({', '.join(further)}); {_WAY_OUT}")
        level = next((level for level in series.levels if level.size <= LARGEST_PX), None)
        if level is None:
            raise _too_large(path)
        page, values, axes = series.keyframe.aspage(), level.asarray(), level.axes
        colormap = page.colormap if page.photometric == PHOTOMETRIC.PALETTE else None
    # Colours may come first.
    values = np.moveaxis(values, [axes.index("Y"), axes.index("X")], [0, 1])
    values = values.reshape(*values.shape[:2], -1)  # (height, width, samples)
    if colormap is not None:
        is_coloured = np.any(np.asarray(colormap), axis=0)  # (colours,)
        return np.asarray(np.take(is_coloured, values[:, :, 0].astype(np.intp)))
    if page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR):  # The second are decoded to the first.
        return np.asarray((values[:, :, :3] != 0).any(axis=2))
    return _of_grey(values[:, :, 0], page, path)


def _of_grey(values: npt.NDArray[Any], page: tifffile.TiffPage, path: Path) -> NotBlack:
    if page.photometric == PHOTOMETRIC.MINISBLACK:
        return np.asarray(values > 0)  # What is no number, or below nothing, is nothing.
    if page.photometric != PHOTOMETRIC.MINISWHITE:
        raise MaskError(f"{path}: its pixels are neither grey, nor RGB, nor a palette's; {_WAY_OUT}")
    if values.dtype.kind not in "ub":
        raise MaskError(f"{path}: zero is white in it, and {values.dtype} has no black; {_WAY_OUT}")
    return np.asarray(values != 2 ** int(page.bitspersample) - 1)


def _of_image(path: Path) -> NotBlack:
    with Image.open(path) as picture:
        if picture.width * picture.height > LARGEST_PX:
            raise _too_large(path)
        if picture.mode in _GREY_MODES:
            return np.asarray(np.asarray(picture) > 0)
        if picture.format == "PNG" and _is_of_16_bits(path):
            return _of_deep_png(path)
        return np.asarray((np.asarray(picture.convert("RGB")) != 0).any(axis=2))


def _is_of_16_bits(path: Path) -> bool:
    """Whether a PNG has 16 bits a sample, which its header says."""
    with open_regular(path) as file:
        return file.read(_PNG_DEPTH + 1)[_PNG_DEPTH] == 16


def _of_deep_png(path: Path) -> NotBlack:
    """Of a PNG in colour or with opacity, of which PIL has the upper 8 of 16 bits only: labels would be black."""
    with open_regular(path) as file:
        values = np.asarray(imagecodecs.png_decode(file.read()))  # (height, width, samples)
    colours = values[:, :, :1] if values.shape[2] == 2 else values[:, :, :3]
    return np.asarray((colours != 0).any(axis=2))


def _too_large(path: Path) -> MaskError:
    return MaskError(f"{path}: too large; save it with fewer pixels, at most {LARGEST_PX} of them")
