"""What OpenSlide is known to get wrong, or not to read: one table, each error as narrow as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.slides.pixels.protocol import Slide


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
        ("dicom",),
        (Aspect.DOWNSAMPLE, Aspect.SIZE),
        "OpenSlide computes a level's downsample from its size, which in DICOM includes the padding to whole tiles; "
        "mitoscan takes the pixel size that each file states",
    ),
    KnownError(
        ("zeiss",),
        (Aspect.OPENING,),
        "OpenSlide reads no CZI whose parts have a plane (Z), nor some of its compressions; Zeiss' own reader does",
    ),
    KnownError(
        ("generic-tiff",),
        (Aspect.MISSING_LEVEL,),
        "OpenSlide finds levels only in the chain of a TIFF's pages, where they are flagged as reduced: no SubIFDs",
    ),
    KnownError(
        ("generic-tiff",),
        (Aspect.SILENT_MPP,),
        "OpenSlide reads a TIFF's resolution tags, but neither OME-XML nor the unit in ImageJ's description",
    ),
    KnownError(
        ("generic-tiff",),
        (Aspect.EXTRA_LEVEL,),
        "OpenSlide takes every page that is flagged as reduced for a level, whatever it shows",
    ),
    KnownError(
        ("aperio",),
        (Aspect.SILENT_MPP,),
        "OpenSlide reads no decimal comma, and no description that is not UTF-8",
    ),
    KnownError(
        ("aperio",),
        (Aspect.REDRAWN,),
        "where a tile has no bytes, OpenSlide computes all reduced levels from the finer one, with a filter of its own",
    ),
)


def explained(difference: Difference, vendor: str, slide: Slide) -> Difference:
    """The difference with what explains it, if anything known does."""
    if difference.explained:
        return difference
    for known in KNOWN_ERRORS:
        if vendor in known.vendors and difference.aspect in known.aspects:
            return replace(difference, explained=known.reason)
    if difference.aspect is Aspect.EXTRA_LEVEL and slide.notes:
        return replace(difference, explained="; ".join(slide.notes))
    return difference
