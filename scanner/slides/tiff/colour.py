"""How the samples of TIFF pages become RGB of 8 bits: what their tags and their OME-XML say, and nothing guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from tifffile import PHOTOMETRIC, TiffPage

from scanner.errors import UnsupportedSlideError
from scanner.slides.files.compressed import JPEG, WEBP
from scanner.slides.pixels.colour import (
    composite,
    composite_premultiplied,
    composite_where_premultiplied,
    rgb_from_grey,
)
from scanner.slides.pixels.protocol import RGB, Pixels

#: Samples (h, w, samples) -> pixels.
ToPixels = Callable[[npt.NDArray[Any]], Pixels]

_WORDS: dict[Any, str] = {
    PHOTOMETRIC.SEPARATED: "CMYK",
    PHOTOMETRIC.CIELAB: "CIELAB",
    PHOTOMETRIC.ICCLAB: "CIELAB",
    PHOTOMETRIC.ITULAB: "CIELAB",
    PHOTOMETRIC.YCBCR: "YCbCr",
    PHOTOMETRIC.MASK: "a transparency mask",
    PHOTOMETRIC.CFA: "raw values of a camera",
    PHOTOMETRIC.RGB: "RGB",
}
_WAY_OUT = "write it as RGB of 8 bits"
_COLOURS = ("red", "green", "blue")
_MAX_SAMPLE_VALUE = 281
#: As OME-XML has them: red, green, blue and opacity in one number with a sign.
_OME_COLOURS = {-16776961: "red", 16711935: "green", 65535: "blue"}


def plan_colour(page: TiffPage, name: str, *, pixels: ElementTree.Element | None = None) -> ToPixels:
    """How samples of that page become RGB.

    Parameters
    ----------
    page : TiffPage
    name : str
        Begins the message of an error.
    pixels : Element, optional
        Its <Pixels> in OME-XML, which may say how many bits are used.

    Raises
    ------
    UnsupportedSlideError
        They are no colours, or of a kind that is not read; says what they are.
    """
    eight = _plan_depth(page, name, pixels)
    kind, samples = page.photometric, page.samplesperpixel
    if kind == PHOTOMETRIC.MINISBLACK:
        return lambda values: rgb_from_grey(eight(values[:, :, 0]))
    if kind == PHOTOMETRIC.MINISWHITE:
        return lambda values: rgb_from_grey(255 - eight(values[:, :, 0]))
    if kind == PHOTOMETRIC.PALETTE and page.colormap is not None:
        palette = _palette(np.asarray(page.colormap))
        return lambda values: np.take(palette, values[:, :, 0].astype(np.intp), axis=0)
    is_ycbcr_jpeg = kind == PHOTOMETRIC.YCBCR and page.compression in {*JPEG, *WEBP}
    if samples < RGB or not (kind == PHOTOMETRIC.RGB or is_ycbcr_jpeg):
        raise UnsupportedSlideError(f"{name}: its pixels are {_kind(page)}, not brightfield RGB; {_WAY_OUT}")
    alpha = page.extrasamples[0] if samples == 4 and page.extrasamples else None
    if alpha == 1:
        return lambda values: composite_premultiplied(eight(values))
    if alpha == 2:
        return lambda values: composite(eight(values))
    if samples == 4 and alpha is None:
        return lambda values: composite_where_premultiplied(eight(values))
    return lambda values: np.ascontiguousarray(eight(values[:, :, :RGB]))


def significant_bits(page: TiffPage, pixels: ElementTree.Element | None = None) -> int:
    """Bits of a sample that hold something: by OME-XML, by MaxSampleValue, or else all of those that are stored."""
    stored = int(page.bitspersample)
    if pixels is not None:
        with suppress(ValueError):
            stated = int(pixels.get("SignificantBits", stored))
            if 8 <= stated < stored:
                return stated
    greatest = page.tags.valueof(_MAX_SAMPLE_VALUE)
    greatest = max(greatest) if isinstance(greatest, tuple) and greatest else greatest
    if isinstance(greatest, int) and 8 <= greatest.bit_length() < stored:
        return greatest.bit_length()
    return stored


def order_of_colours(pages: Sequence[TiffPage], pixels: ElementTree.Element | None) -> tuple[int, ...] | None:
    """Which of three pages of one sample each is red, which green and which blue; None if the file does not say.

    Names say it, of OME-XML's Channels, of pages (PageName, description) or of ImageJ's slices; or, of Channels
    without names, colours.
    """
    if len(pages) != RGB or any(page.samplesperpixel != 1 for page in pages):
        return None
    names = _channel_colours(pixels) if pixels is not None else [_plain_name(page) for page in pages]
    if not any(names):
        with suppress(Exception):  # ImageJ's own block, which tifffile reads or does not.
            names = [str(label) for label in (pages[0].parent.imagej_metadata or {}).get("Labels", ())]
    known = {letter: colour for colour in _COLOURS for letter in (colour, colour[0])}
    found = [known.get(name.strip().casefold(), "") for name in names]
    return tuple(found.index(colour) for colour in _COLOURS) if sorted(found) == sorted(_COLOURS) else None


def _channel_colours(pixels: ElementTree.Element) -> list[str]:
    channels = pixels.findall("{*}Channel")
    names = [channel.get("Name", "") for channel in channels]
    if any(names):
        return names
    colours = [channel.get("Color", "") for channel in channels]
    return [_OME_COLOURS.get(int(colour), "") if colour.lstrip("-").isdecimal() else "" for colour in colours]


def _plain_name(page: TiffPage) -> str:
    name = str(page.tags.valueof("PageName") or page.description or "").strip("\0 \r\n")
    return name if len(name) <= len("green") else ""


def _plan_depth(page: TiffPage, name: str, pixels: ElementTree.Element | None) -> Callable[..., npt.NDArray[np.uint8]]:
    """How samples become 8 bits: of more the upper ones, fewer are spread."""
    stored, dtype = int(page.bitspersample), np.dtype(page.dtype) if page.dtype is not None else None
    if dtype not in (np.uint8, np.uint16, np.bool_) or not 1 <= stored <= 16:
        raise UnsupportedSlideError(f"{name}: its pixels are {_kind(page)}, {stored}-bit {dtype}; {_WAY_OUT}")
    bits = significant_bits(page, pixels)

    def eight_bits_of(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if bits == 8 and values.dtype == np.uint8:
            return values
        wide = values.astype(np.uint32)
        spread = wide >> (bits - 8) if bits > 8 else wide * 255 // (2**bits - 1)
        return spread.clip(0, 255).astype(np.uint8)

    return eight_bits_of


def _palette(colours: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """The colours of a palette, (colours, 3). One without any value above 255 is of 8 bits, as libtiff takes it."""
    return (colours if colours.max(initial=0) < 256 else colours >> 8).astype(np.uint8).T


def _kind(page: TiffPage) -> str:
    kind = page.photometric
    if kind in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE):
        return "grey"
    return _WORDS.get(kind, f"of the kind {int(kind)} (PhotometricInterpretation)")
