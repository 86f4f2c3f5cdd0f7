"""Which images of a slide's file a batch scans: every one that shows tissue, or the one that is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scanner.batch.worklist import FoundSlide
from scanner.errors import ImageNotFoundError, MaskError
from scanner.slides import FileContents, ImageKind, describe_file
from scanner.slides.metadata.contents import choose_image


def each_image(
    slides: Sequence[FoundSlide], wanted: int | None = None, *, mask: Path | None = None
) -> list[FoundSlide]:
    """The slides, one for each image that is to be scanned.

    The image that `open_slide` opens by itself stays None. A file that cannot be opened stays as it is: it fails by
    its name when its turn comes, as does one without the image that is wanted, where another file has it.

    Parameters
    ----------
    slides : sequence of FoundSlide
        Those with an image of their own, as in a manifest, stand for that one.
    wanted : int, optional
        Index of the only image that is to be scanned of every other file.
    mask : Path, optional
        A mask for all slides, or a folder of masks.

    Raises
    ------
    ImageNotFoundError
        No file has the image that is wanted of it.
    MaskError
        One mask is named for several images of a file.
    """
    found: list[FoundSlide] = []
    refusals: list[ImageNotFoundError] = []
    for slide in slides:
        index = wanted if slide.image is None else slide.image
        try:
            images = _images_of(slide, index)
            _refuse_one_mask(images, slide.mask or mask)
            found += images
        except ImageNotFoundError as error:
            refusals.append(error)
            found.append(replace(slide, image=index))
    if refusals and len(refusals) == len(slides):
        raise refusals[0]
    return found


def _images_of(slide: FoundSlide, wanted: int | None) -> list[FoundSlide]:
    if slide.fault or not os.path.exists(slide.path):
        return [replace(slide, image=wanted)]
    try:
        contents = describe_file(slide.path)
    except Exception:  # Of any kind: the slide fails with it when its turn comes, and the others are scanned.
        return [replace(slide, image=wanted)]
    if wanted is not None:
        return [replace(slide, image=_unless_first(contents, wanted))]
    further = [image.index for image in contents.images if image.kind is ImageKind.IMAGE][1:]
    return [slide, *(replace(slide, image=index, is_further=True) for index in further)]


def _refuse_one_mask(images: Sequence[FoundSlide], mask: Path | None) -> None:
    """MaskError if one file would mask several images: it fits one of them."""
    if len(images) > 1 and mask is not None and not mask.is_dir():
        raise MaskError(
            f"{images[0].path}: holds {len(images)} images, but {mask} is a mask for one; pass --image, or a folder "
            "with a mask for each"
        )


def _unless_first(contents: FileContents, wanted: int) -> int | None:
    """None for the image that is opened without being asked for, so that both are one and the same scan."""
    first = choose_image(contents.images, contents.path)
    return None if choose_image(contents.images, contents.path, wanted) == first else wanted
