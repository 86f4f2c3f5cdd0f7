"""Which images are overviews (labels, macro pictures, thumbnails): by their names, and by their stated mpp and size."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import replace

from scanner.slides.pixels.protocol import ImageInfo, ImageKind

#: At the end of a name, as "macro image", "CMU-1.svs [label]" or "Thumbnail 2".
_NAMES = re.compile(
    r"(^|[^a-z])(label|macro|overview|thumbnail|thumb|mask|navigator|preview|barcode|slide ?id)"
    r"([ _-]?(image|picture))?[ _-]?[0-9]*[\])]?$",
    re.IGNORECASE,
)
#: An image whose pixels are this many times larger than the finest image's shows what a slide looks like, no cells.
COARSER = 8.0
#: An image that states no mpp, beside one that states it and has this many times its pixels, is a picture of that one.
LARGER = 8


def is_overview_name(name: str) -> bool:
    """Whether an image of that name is a label, a macro picture, a thumbnail or a mask."""
    return _NAMES.search(name.strip()) is not None


def mark_overviews(images: Sequence[ImageInfo], silent: Container[int]) -> tuple[ImageInfo, ...]:
    """The images, with the kind overview for those that only their size shows to be one.

    That is an image whose stated mpp is COARSER times the finest image's; and one that states none and has one level,
    beside one that states it and has several, or LARGER times its pixels. At least one stays an image: the largest, if
    all are called overviews.

    Parameters
    ----------
    images : sequence of ImageInfo
    silent : container of int
        Indices of those that state no mpp.
    """
    slides = [image for image in images if image.kind is ImageKind.IMAGE]
    if not slides:
        largest = max(images, key=_area)
        return tuple(replace(image, kind=ImageKind.IMAGE) if image is largest else image for image in images)
    stated = [image.mpp for image in slides if image.mpp is not None]
    sizes = [_area(image) for image in slides if image.mpp is not None]
    has_pyramid = any(image.mpp is not None and len(image.levels) > 1 for image in slides)
    told = []
    for image in images:
        is_coarse = image.mpp is not None and image.mpp >= COARSER * min(stated, default=image.mpp)
        is_small = has_pyramid or max(sizes, default=0) >= LARGER * _area(image)
        is_bare = image.index in silent and len(image.levels) == 1 and is_small
        is_overview = image.kind is ImageKind.IMAGE and (is_coarse or is_bare)
        told.append(replace(image, kind=ImageKind.OVERVIEW, problem="") if is_overview else image)
    return tuple(told)


def _area(image: ImageInfo) -> int:
    return image.levels[0].height * image.levels[0].width if image.levels else 0
