"""A second opinion on a slide: where OpenSlide reads the file too, what it takes from it, and where the two differ.

Sizes, downsamples, mpp, and the pixels of a fixed sample of places of every level. What OpenSlide is known to get wrong
stands in one table, each error as narrow as it is: a difference that no error of it explains is one to look into.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import openslide
from tifffile import TiffFile, TiffFileError

from scanner.errors import ResolutionError, UnreadableRegionError
from scanner.slides.metadata.resolution import OVERRIDE
from scanner.slides.opening import open_image
from scanner.slides.pixels.colour import composite
from scanner.slides.pixels.protocol import WHITE, Level, Slide
from scanner.slides.vendor import detect_vendor

#: Places a side of each level, and the side of each.
PLACES, SIDE = 4, 64  # level px
#: Where a downsample is no integer, OpenSlide blends pixels but for those that begin at the corner: one larger place.
CORNER = 512  # level px
#: Two filters that reduce the same pixels differ by less than this in the mean.
FILTERS = 16.0  # of 255
#: For a file that states none: it is not compared.
ANY_MPP = 1.0  # um/px
#: Statements of the same number, read by two programs (relative).
SAME_MPP = 1e-3


class Aspect(StrEnum):
    """What differs."""

    OPENING = "opening"  # OpenSlide knows the format, and does not open the file
    MISSING_LEVEL = "level that OpenSlide has not"
    EXTRA_LEVEL = "level that OpenSlide has alone"
    SIZE = "size"
    DOWNSAMPLE = "downsample"
    SILENT_MPP = "mpp that OpenSlide does not read"
    MPP = "mpp"
    PIXELS = "pixels"
    REDRAWN = "pixels of a slide of which tiles have no bytes"


@dataclass(frozen=True)
class Difference:
    """One thing that mitoscan and OpenSlide take differently from a file."""

    aspect: Aspect
    ours: str
    theirs: str
    #: Which known error of OpenSlide, or which note of ours, explains it; empty: nothing does.
    explained: str = ""


@dataclass(frozen=True)
class KnownError:
    """Something that OpenSlide is known to get wrong, or not to read."""

    vendors: tuple[str, ...]
    aspects: tuple[Aspect, ...]
    reason: str


KNOWN_ERRORS = (
    KnownError(
        ("dicom",), (Aspect.DOWNSAMPLE, Aspect.SIZE),
        "OpenSlide takes a level's downsample from its size, to which DICOM adds the padding of its tiles; mitoscan "
        "takes what each file states of its pixels",
    ),
    KnownError(
        ("zeiss",), (Aspect.OPENING,),
        "OpenSlide reads no CZI whose parts have a plane (Z), nor some of its compressions; Zeiss' own reader does",
    ),
    KnownError(
        ("generic-tiff",), (Aspect.MISSING_LEVEL,),
        "OpenSlide reads levels from the chain of a TIFF's pages alone, where they are flagged as reduced: no SubIFDs",
    ),
    KnownError(
        ("generic-tiff",), (Aspect.SILENT_MPP,),
        "OpenSlide reads a TIFF's resolution tags, but no OME-XML and no unit of ImageJ's",
    ),
    KnownError(
        ("generic-tiff",), (Aspect.EXTRA_LEVEL,),
        "OpenSlide takes every page that is flagged as reduced for a level, whatever it shows",
    ),
    KnownError(
        ("aperio",), (Aspect.SILENT_MPP,),
        "OpenSlide reads no decimal comma, and no description that is not UTF-8",
    ),
    KnownError(
        ("aperio",), (Aspect.REDRAWN,),
        "where a tile has no bytes, OpenSlide draws all reduced levels anew from the finer one, by a filter of its own",
    ),
)  # fmt: skip


def second_opinion(slide: Slide) -> list[Difference] | None:
    """What mitoscan and OpenSlide take differently from a slide's file; None if OpenSlide does not know its format.

    Parameters
    ----------
    slide : Slide
        As `open_slide` opens it. An mpp of the caller's is none of the file's.

    Raises
    ------
    DamagedSlideError
        OpenSlide fails while it looks for the format.
    """
    vendor = None if slide.path.is_dir() else detect_vendor(slide.path)
    if vendor is None:
        return None
    try:
        with openslide.OpenSlide(slide.path) as other:
            found = list(_differences(slide, other))
    except openslide.OpenSlideError as error:
        found = [Difference(Aspect.OPENING, "it is opened", f"{error}")]
    return [_explained(difference, vendor, slide) for difference in found]


def _explained(difference: Difference, vendor: str, slide: Slide) -> Difference:
    if difference.explained:
        return difference
    for known in KNOWN_ERRORS:
        if vendor in known.vendors and difference.aspect in known.aspects:
            return replace(difference, explained=known.reason)
    if difference.aspect is Aspect.EXTRA_LEVEL and slide.notes:
        return replace(difference, explained="; ".join(slide.notes))
    return difference


def _differences(slide: Slide, other: openslide.OpenSlide) -> Iterator[Difference]:
    yield from _mpp(slide, other)
    theirs = _levels(other)
    pairs = _pair(slide.levels, theirs, other.properties.get(openslide.PROPERTY_NAME_VENDOR, ""))
    for index, level in enumerate(slide.levels):
        if index not in pairs:
            yield Difference(Aspect.MISSING_LEVEL, f"level {index} of {_said(level)}", "none of that size")
    for index, level in enumerate(theirs):
        if index not in pairs.values():
            yield Difference(Aspect.EXTRA_LEVEL, "none of that size", f"level {index} of {_said(level)}")
    for ours, place in pairs.items():
        yield from _level(slide, other, ours, place)


def _levels(other: openslide.OpenSlide) -> tuple[Level, ...]:
    sizes = zip(other.level_dimensions, other.level_downsamples, strict=True)
    return tuple(Level(height, width, downsample) for (width, height), downsample in sizes)


def _pair(ours: tuple[Level, ...], theirs: tuple[Level, ...], vendor: str) -> dict[int, int]:
    """Index of our level -> index of OpenSlide's: of the same size; in DICOM, which pads, of the same place."""
    if vendor == "dicom" and len(ours) == len(theirs):
        return {index: index for index in range(len(ours))}
    sizes = [(level.height, level.width) for level in theirs]
    return {
        index: sizes.index((level.height, level.width))
        for index, level in enumerate(ours)
        if (level.height, level.width) in sizes
    }


def _mpp(slide: Slide, other: openslide.OpenSlide) -> Iterator[Difference]:
    sides = [other.properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)]
    mpp = None if slide.mpp_source == OVERRIDE else slide.mpp
    ours = "none" if mpp is None else f"{mpp:.6g} um/px ({slide.mpp_source})"
    if None in sides:
        if mpp is not None:
            yield Difference(Aspect.SILENT_MPP, ours, "none")
        return
    rows, cols = (float(side) for side in sides if side is not None)
    theirs = float(np.sqrt(rows * cols))
    if mpp is None or abs(mpp / theirs - 1) > SAME_MPP:
        yield Difference(Aspect.MPP, ours, f"{theirs:.6g} um/px")


def _level(slide: Slide, other: openslide.OpenSlide, ours: int, theirs: int) -> Iterator[Difference]:
    level, opinion = slide.levels[ours], _levels(other)[theirs]
    if (level.height, level.width) != (opinion.height, opinion.width):
        yield Difference(Aspect.SIZE, f"level {ours} of {_said(level)}", f"level {theirs} of {_said(opinion)}")
    # Sides that were rounded explain as much as a pixel of the reduced level.
    if abs(level.downsample / opinion.downsample - 1) > 1.5 / min(level.height, level.width):
        yield Difference(
            Aspect.DOWNSAMPLE,
            f"level {ours} has a downsample of {level.downsample:.6g}",
            f"{opinion.downsample:.6g}",
        )
    for box in sample_places(level, is_whole=float(opinion.downsample).is_integer()):
        yield from _pixels(slide, other, (ours, theirs), box)


def sample_places(level: Level, *, is_whole: bool) -> list[tuple[int, int, int, int]]:
    """Boxes of a level that are compared, always the same; the corner alone unless its downsample is whole."""
    if not is_whole:
        return [(0, 0, min(level.height, CORNER), min(level.width, CORNER))]
    height, width = min(SIDE, level.height), min(SIDE, level.width)
    tops = np.unique(np.linspace(0, level.height - height, PLACES).astype(int)).tolist()
    lefts = np.unique(np.linspace(0, level.width - width, PLACES).astype(int)).tolist()
    return [(top, left, top + height, left + width) for top in tops for left in lefts]


def _pixels(
    slide: Slide, other: openslide.OpenSlide, levels: tuple[int, int], box: tuple[int, int, int, int]
) -> Iterator[Difference]:
    ours, theirs = levels
    top, left, bottom, right = box
    downsample = other.level_downsamples[theirs]
    location = (round(left * downsample), round(top * downsample))
    rgba = np.asarray(other.read_region(location, theirs, (right - left, bottom - top)))
    # Under a veil lies what has no bytes, or was not scanned; each program has its own rule for that.
    is_seen = rgba[:, :, 3] == WHITE
    place = f"level {ours}, rows {top} to {bottom}, columns {left} to {right}"
    try:
        pixels = slide.read(ours, box)
    except UnreadableRegionError as error:
        if is_seen.all():
            yield Difference(Aspect.PIXELS, str(error).removeprefix(f"{slide.path}: "), f"{place}: all of it is read")
        return
    distances = np.abs(pixels.astype(int) - composite(rgba))[is_seen]  # (pixels, 3)
    if apart := int(distances.any(axis=1).sum()):
        is_redrawn = ours > 0 and distances.mean() < FILTERS and _has_holes(slide.path)
        said = f"{place}: {apart} of {is_seen.size} pixels differ, by {distances.mean():.3g} in the mean"
        yield Difference(Aspect.REDRAWN if is_redrawn else Aspect.PIXELS, said, "other values")


def _has_holes(path: Path) -> bool:
    """Whether a TIFF has tiles without bytes."""
    try:
        with TiffFile(path) as tiff:
            return any(0 in page.databytecounts for page in tiff.pages)
    except TiffFileError:
        return False


def _said(level: Level) -> str:
    return f"{level.width} x {level.height} px"


def second_opinion_on(path: Path) -> list[Difference] | None:
    """The second opinion on the image of a file that a scan takes first, also where it needs an mpp of the caller's."""
    try:
        slide = open_image(path)
    except ResolutionError:
        slide = open_image(path, ANY_MPP)
    with slide:
        return second_opinion(slide)


def lines_of_opinion(differences: list[Difference] | None) -> list[str]:
    """What a person is told, a line each."""
    if differences is None:
        return ["OpenSlide does not read this format: there is no second opinion"]
    if not differences:
        return ["OpenSlide takes the same: sizes, downsamples, mpp and the sampled pixels"]
    return [
        f"{difference.ours}; OpenSlide: {difference.theirs}"
        + (f" (known: {difference.explained})" if difference.explained else " (NOT EXPLAINED)")
        for difference in differences
    ]
