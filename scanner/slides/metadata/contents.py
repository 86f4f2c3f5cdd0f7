"""What is in a file: its images, and what of it was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.errors import ImageNotFoundError
from scanner.slides.metadata.resolution import Mpp
from scanner.slides.pixels.protocol import ImageInfo, ImageKind, Level, Slide


@dataclass(frozen=True)
class FileContents:
    """All that a file holds, as far as slides go.

    Examples
    --------
    >>> from scanner.slides import describe_file
    >>> contents = describe_file("examples/CMU-1-Small-Region.svs")
    >>> contents.format, contents.reader, len(contents.images)
    ('Aperio', 'tifffile', 4)
    """

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


def sole_image(levels: tuple[Level, ...], mpp: Mpp) -> ImageInfo:
    """The only image of a file that shows tissue."""
    return ImageInfo(0, "", ImageKind.IMAGE, levels, mpp.value, mpp.source, problem=mpp.problem)


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


def describe_image(image: ImageInfo) -> dict[str, Any]:
    """An image of a file as JSON: sizes in pixels of its levels, mpp of its level 0."""
    level0 = image.levels[0] if image.levels else None
    return {
        "index": image.index,
        "name": image.name,
        "kind": str(image.kind),
        "width": level0.width if level0 else None,
        "height": level0.height if level0 else None,
        "mpp": image.mpp,
        "mpp_source": image.mpp_source,
        "levels": [
            {"width": level.width, "height": level.height, "downsample": level.downsample, "mpp": level.stated_mpp}
            for level in image.levels
        ],
        "channels": image.channels,
        "problem": image.problem,
    }


def others_to_scan(images: Sequence[ImageInfo], opened: ImageInfo) -> tuple[ImageInfo, ...]:
    """The images of a file that show tissue, besides the one that is open."""
    return tuple(image for image in images if image.kind is ImageKind.IMAGE and image.index != opened.index)


def further_image(slide: Slide) -> int | None:
    """Index of the image that is open; None if it is the one that is opened without being asked for.

    The first image is the same whether it was asked for or not.
    """
    is_first = slide.image.index == choose_image(slide.images, slide.path).index
    return None if is_first else slide.image.index


def warn_of_others(slide: Slide) -> str:
    """Says that a file has more images than the one that was taken by itself; empty if it has not."""
    others = others_to_scan(slide.images, slide.image)
    if not others:
        return ""
    return f"{slide.path} holds {len(others) + 1} images; image {slide.image.index} is taken, not {name_images(others)}"


def _name(image: ImageInfo) -> str:
    what = [] if image.kind is ImageKind.IMAGE else [str(image.kind)]
    if image.levels:
        what.append(f"{image.levels[0].width} x {image.levels[0].height} px")
    name = f" {image.name!r}" if image.name else ""
    return f"image {image.index}{name} ({', '.join(what)})"
