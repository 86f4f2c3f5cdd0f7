"""A second opinion on a slide: where OpenSlide reads its file differently from mitoscan.

Sizes, downsamples, mpp, and the pixels of a fixed sample of places of every level. A difference that none of
OpenSlide's known errors explains is one to look into.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
from tifffile import TiffFile, TiffFileError

from scanner.errors import ResolutionError, UnreadableRegionError
from scanner.slides.known_errors import Aspect, Difference, explained
from scanner.slides.metadata.resolution import OVERRIDE
from scanner.slides.opening import open_image
from scanner.slides.pixels.colour import composite
from scanner.slides.pixels.protocol import WHITE, Level, Slide
from scanner.slides.vendor import detect_vendor

#: Sampled squares per side of each level, and the side of each square.
PLACES, SIDE = 4, 64  # level px
#: Where a downsample is no integer, OpenSlide interpolates any region that does not begin at the corner: there, one
#: larger square is compared.
CORNER = 512  # level px
#: Two filters that reduce the same pixels differ by less than this in the mean.
FILTERS = 16.0  # of 255
#: Passed for a file that states none; it is not compared.
ANY_MPP = 1.0  # um/px
#: Statements of the same number, read by two programs (relative).
SAME_MPP = 1e-3


def second_opinion(slide: Slide) -> list[Difference] | None:
    """The differences between mitoscan and OpenSlide on a slide; None if OpenSlide does not know its format.

    Parameters
    ----------
    slide : Slide
        As `open_slide` opens it. An mpp that the caller passed is not compared.

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
        found = [Difference(Aspect.OPENING, "mitoscan opens it", f"{error}")]
    return [explained(difference, vendor, slide) for difference in found]


def _differences(slide: Slide, other: openslide.OpenSlide) -> Iterator[Difference]:
    yield from _mpp(slide, other)
    theirs = _levels(other)
    pairs = _pair(slide.levels, theirs, other.properties.get(openslide.PROPERTY_NAME_VENDOR, ""))
    for index, level in enumerate(slide.levels):
        if index not in pairs:
            yield Difference(Aspect.MISSING_LEVEL, f"level {index} of {_size(level)}", "none of that size")
    for index, level in enumerate(theirs):
        if index not in pairs.values():
            yield Difference(Aspect.EXTRA_LEVEL, "none of that size", f"level {index} of {_size(level)}")
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
        yield Difference(Aspect.SIZE, f"level {ours} of {_size(level)}", f"level {theirs} of {_size(opinion)}")
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
    # Transparent pixels have no bytes, or were not scanned; each program has its own rule for those.
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
        summary = f"{place}: {apart} of {is_seen.size} pixels differ, by {distances.mean():.3g} on average"
        yield Difference(Aspect.REDRAWN if is_redrawn else Aspect.PIXELS, summary, "other values")


def _has_holes(path: Path) -> bool:
    """Whether a TIFF has tiles without bytes."""
    try:
        with TiffFile(path) as tiff:
            return any(0 in page.databytecounts for page in tiff.pages)
    except TiffFileError:
        return False


def _size(level: Level) -> str:
    return f"{level.width} x {level.height} px"


def second_opinion_on(path: Path) -> list[Difference] | None:
    """The second opinion on the first image that a scan takes, even if the file states no mpp that can be used."""
    try:
        slide = open_image(path)
    except ResolutionError:
        slide = open_image(path, ANY_MPP)
    with slide:
        return second_opinion(slide)


def lines_of_opinion(differences: list[Difference] | None) -> list[str]:
    """The differences as text, a line each."""
    if differences is None:
        return ["OpenSlide does not read this format: there is nothing to compare with"]
    if not differences:
        return ["OpenSlide agrees on sizes, downsamples, mpp and the sampled pixels"]
    return [
        f"{difference.ours}; OpenSlide: {difference.theirs}"
        + (f" (known: {difference.explained})" if difference.explained else " (NOT EXPLAINED)")
        for difference in differences
    ]
