"""The slide's metadata in the tags and the description of a TIFF."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from tifffile import DATATYPE, TiffPage

from scanner.errors import UnsupportedSlideError
from scanner.slides.metadata.ome_xml import MAX_XML
from scanner.slides.metadata.resolution import Stated
from scanner.slides.metadata.stated import (
    resolution_from_aperio,
    resolution_from_imagej,
    resolution_from_ome,
    resolution_from_pixels,
    resolution_from_tags,
)
from scanner.slides.metadata.units import number_of
from scanner.slides.pixels.protocol import RGB

_IMAGE_DESCRIPTION = 270
_TEXTS = {DATATYPE.ASCII, DATATYPE.BYTE, DATATYPE.UNDEFINED}
#: The way out of three planes that may be red, green and blue.
COLOURS = (
    "if they are red, green and blue, name them so (OME-XML's Channels, PageName), or write one page of RGB; "
    "--any-stain takes three as they are"
)
_INCH = 2  # What ResolutionUnit means where it is missing (TIFF 6.0).


def description_of(page: TiffPage) -> str:
    """The ImageDescription of a page of an open file, "" if there is none.

    It is read as bytes: tifffile drops all of it for one byte that is no text. What is no UTF-8 counts as Latin-1, and
    a NUL as the end of a line: what writers leave behind one is kept.
    """
    tag = page.tags.get(_IMAGE_DESCRIPTION)
    if tag is None or not tag.count:
        return ""
    if tag.dtype not in _TEXTS:
        return str(page.description)
    file = page.parent.filehandle
    file.seek(tag.valueoffset)
    return decode_description(file.read(min(tag.count, MAX_XML + 1)))


def decode_description(content: bytes) -> str:
    """Text of bytes in UTF-8, Latin-1 or, by mistake, both."""
    text = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
    single = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}  # As surrogateescape marks what is no UTF-8.
    return text.translate(single).replace("\0", "\n")


def is_aperio(page: TiffPage) -> bool:
    """Whether an Aperio scanner, or a writer that follows it, described the page."""
    return bool(description_of(page).lstrip("\ufeff \r\n").startswith("Aperio"))


def refuse_stacks(pixels: ElementTree.Element, samples: int, path: Path, *, channels: int | None = RGB) -> None:
    """UnsupportedSlideError if an Image of OME-XML has several focal planes or times, or unwanted channels.

    None takes any number of channels; `samples` are those of a pixel of its TIFF pages.
    """
    allowed: dict[str, tuple[str, ...]] = {"SizeZ": ("1",), "SizeT": ("1",)}
    if channels == RGB:
        allowed["SizeC"] = ("1", str(samples))
    more = [f"{size} = {pixels.get(size)}" for size, values in allowed.items() if pixels.get(size, "1") not in values]
    if more:
        way_out = f"; {COLOURS}" if any(one.startswith("SizeC = 3") for one in more) else ""
        raise UnsupportedSlideError(f"{path}: {', '.join(more)} in its OME-XML: a scan needs one plane{way_out}")


def stated_resolution(page: TiffPage, pixels: ElementTree.Element | None = None) -> Stated:
    """What a file states of an image's pixels, the most specific statement first; None if it states nothing.

    Parameters
    ----------
    page : TiffPage
        Of its level 0.
    pixels : Element, optional
        Its <Pixels>, where the file has OME-XML.
    """
    description = description_of(page)
    rows, cols = _tag_values(page)
    stated = (
        (resolution_from_ome(description) if pixels is None else resolution_from_pixels(pixels))
        or resolution_from_aperio(description)
        or resolution_from_imagej(description, rows, cols)
    )
    return stated_by_tags(page) if stated is None else stated


def stated_by_tags(page: TiffPage) -> Stated:
    """What the tags of a page state of its pixels."""
    return resolution_from_tags(*_tag_values(page), int(page.tags.valueof("ResolutionUnit", _INCH)))


def _tag_values(page: TiffPage) -> tuple[float | None, float | None]:
    """YResolution and XResolution, pixels per unit."""
    return _ratio(page.tags.valueof("YResolution")), _ratio(page.tags.valueof("XResolution"))


def _ratio(value: object) -> float | None:
    """A TIFF rational (numerator, denominator), or what stands in its place, as a number; None if there is none."""
    if isinstance(value, tuple) and len(value) == 2:
        return float(value[0] / value[1]) if value[1] else 0.0
    if isinstance(value, str):
        with suppress(ValueError):
            return number_of(value)
    return float(value) if isinstance(value, int | float) else None
