"""What is in a file: its images, and what of it was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import ImageNotFoundError
from scanner.slides.protocol import ImageInfo, ImageKind, Slide


@dataclass(frozen=True)
class FileContents:
    """All that a file holds, as far as slides go."""

    path: Path
    #: E.g. "aperio", "OME-TIFF".
    format: str
    #: What reads it, e.g. "OpenSlide".
    reader: str
    #: In the file's order; `ImageInfo.index` is the place in it.
    images: tuple[ImageInfo, ...]
    #: What was left out, and why.
    notes: tuple[str, ...] = ()
    has_icc: bool = False


def sole_image(slide: Slide) -> ImageInfo:
    """The image of an open slide whose file holds no other."""
    return ImageInfo(0, "", ImageKind.IMAGE, slide.levels, slide.mpp, slide.mpp_source, slide.channels)


def choose_image(images: Sequence[ImageInfo], path: Path, wanted: int | None = None) -> ImageInfo:
    """The image of that index; if None is wanted the first one of kind image.

    Raises
    ------
    ImageNotFoundError
        There is no image of that index; the message names those there are.
    """
    if wanted is None:
        return next((image for image in images if image.kind is ImageKind.IMAGE), images[0])
    for image in images:
        if image.index == wanted:
            return image
    raise ImageNotFoundError(f"{path}: there is no image {wanted}; it holds {name_images(images)}")


def name_images(images: Sequence[ImageInfo]) -> str:
    """E.g. "image 0 (1280 x 1024 px), image 1 'label' (overview, 300 x 200 px)"."""
    return ", ".join(_name(image) for image in images)


def _name(image: ImageInfo) -> str:
    what = [] if image.kind is ImageKind.IMAGE else [str(image.kind)]
    if image.levels:
        what.append(f"{image.levels[0].width} x {image.levels[0].height} px")
    said = f" {image.name!r}" if image.name else ""
    return f"image {image.index}{said} ({', '.join(what)})"
