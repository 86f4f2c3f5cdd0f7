"""Which images are no slide but pictures beside it: by what they are called, and by what they state of their size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from scanner.slides.protocol import ImageInfo, ImageKind

#: At the end of a name, as "macro image", "CMU-1.svs [label]" or "Thumbnail 2".
_NAMES = re.compile(
    r"(^|[^a-z])(label|macro|overview|thumbnail|thumb|mask|navigator|preview|barcode|slide ?id)"
    r"([ _-]?(image|picture))?[ _-]?[0-9]*[\])]?$",
    re.IGNORECASE,
)
#: An image whose pixels are this many times larger than the finest image's shows what a slide looks like, no cells.
COARSER = 8.0


def names_an_overview(name: str) -> bool:
    """Whether an image of that name is a label, a macro picture, a thumbnail or a mask."""
    return _NAMES.search(name.strip()) is not None


def tell_overviews(images: Sequence[ImageInfo]) -> tuple[ImageInfo, ...]:
    """The images, with the kind overview for those that only their size shows to be one.

    That is an image whose stated mpp is COARSER times the finest image's; and one that states none and has one level,
    beside one that states it and has several. At least one stays an image: the largest, if all are called overviews.
    """
    slides = [image for image in images if image.kind is ImageKind.IMAGE]
    if not slides:
        largest = max(images, key=_area)
        return tuple(replace(image, kind=ImageKind.IMAGE) if image is largest else image for image in images)
    stated = [image.mpp for image in slides if image.mpp is not None]
    has_slide = any(image.mpp is not None and len(image.levels) > 1 for image in slides)
    told = []
    for image in images:
        is_coarse = image.mpp is not None and image.mpp >= COARSER * min(stated, default=image.mpp)
        is_bare = image.mpp is None and not image.problem and len(image.levels) == 1 and has_slide
        is_overview = image.kind is ImageKind.IMAGE and (is_coarse or is_bare)
        told.append(replace(image, kind=ImageKind.OVERVIEW) if is_overview else image)
    return tuple(told)


def _area(image: ImageInfo) -> int:
    return image.levels[0].height * image.levels[0].width if image.levels else 0
