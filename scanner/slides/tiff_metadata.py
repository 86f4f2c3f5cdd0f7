"""What the tags and the description of a TIFF say about its slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tifffile import TiffPage

from scanner.errors import UnsupportedSlideError
from scanner.slides.protocol import RGB, Level
from scanner.slides.resolution import (
    Resolution,
    check_level,
    ome_pixels,
    resolution_from_aperio,
    resolution_from_imagej,
    resolution_from_ome,
    resolution_from_tags,
)

_INCH = 2  # What ResolutionUnit means where it is missing (TIFF 6.0).


def is_aperio(page: TiffPage) -> bool:
    """Whether an Aperio scanner, or a writer that follows it, described the page."""
    return bool(page.description.startswith("Aperio"))


def refuse_stacks(first: TiffPage, path: Path, *, channels: int | None = RGB) -> None:
    """UnsupportedSlideError if the first page is one focus or time of several in OME-TIFF, or one of unwanted channels.

    None takes any number of channels.
    """
    pixels = ome_pixels(first.description)
    if pixels is None:
        return
    allowed: dict[str, tuple[str, ...]] = {"SizeZ": ("1",), "SizeT": ("1",)}
    if channels == RGB:
        allowed["SizeC"] = ("1", str(first.samplesperpixel))
    more = [f"{size} = {pixels.get(size)}" for size, values in allowed.items() if pixels.get(size, "1") not in values]
    if more:
        raise UnsupportedSlideError(f"{path}: {', '.join(more)} in its OME-XML: a scan needs one plane")


def stated_resolution(pages: Sequence[TiffPage], levels: Sequence[Level], path: Path) -> Resolution | None:
    """What the file states, the most specific statement first; None if it states nothing.

    Raises
    ------
    ResolutionError
        The tags of two levels contradict each other.
    """
    description = pages[0].description
    rows, cols = _tag_values(pages[0])
    stated = (
        resolution_from_aperio(description)
        or resolution_from_ome(description)
        or resolution_from_imagej(description, rows, cols)
    )
    if stated is not None:
        return stated
    stated = _tag_resolution(pages[0])
    for page, level in zip(pages[1:], levels[1:], strict=True):
        reduced = _tag_resolution(page)
        if stated is not None and reduced is not None:
            check_level(path, stated, reduced, level.downsample)
    return stated


def _tag_resolution(page: TiffPage) -> Resolution | None:
    return resolution_from_tags(*_tag_values(page), int(page.tags.valueof("ResolutionUnit", _INCH)))


def _tag_values(page: TiffPage) -> tuple[float | None, float | None]:
    """YResolution and XResolution, pixels per unit."""
    return _ratio(page.tags.valueof("YResolution")), _ratio(page.tags.valueof("XResolution"))


def _ratio(value: object) -> float | None:
    """A TIFF rational (numerator, denominator) as a number; None if it is none, or zero."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] and value[1]:
        return float(value[0] / value[1])
    return None
