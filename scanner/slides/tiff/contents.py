"""What is in a TIFF: its images, with the levels and the mpp of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tifffile import TiffFile

from scanner.errors import DamagedSlideError, SlideError
from scanner.slides.files.foreign import foreign_errors_become
from scanner.slides.metadata.contents import FileContents
from scanner.slides.metadata.levels import plan_levels
from scanner.slides.metadata.overviews import mark_overviews
from scanner.slides.metadata.resolution import Mpp, Resolution, Stated, Unusable, settle_mpp
from scanner.slides.pixels.protocol import ImageInfo, ImageKind
from scanner.slides.tiff.images import TiffImage, find_images
from scanner.slides.tiff.metadata import is_aperio, refuse_stacks, stated_resolution
from scanner.slides.tiff.pyramid import check_begin, size_of, stored_level


class TiffContents:
    """The images of an open TIFF, with their levels and mpp."""

    def __init__(self, tiff: TiffFile, path: Path) -> None:
        self.path = path
        self.found, notes = find_images(tiff, path)
        self.notes = tuple(notes)
        is_slide = bool(notes) or any(
            len(image.levels) > 1 or (image.levels and is_aperio(image.page)) for image in self.found
        )
        stated = [_stated(image) if image.levels else None for image in self.found]
        #: Of each image, as the file states it.
        self.mpps = [settle_mpp(one, is_slide=is_slide) for one in stated]
        images = [self._describe(index, stated[index]) for index in range(len(stated))]
        silent = {index for index, image in enumerate(self.found) if image.levels and stated[index] is None}
        self.images = mark_overviews(images, silent)

    def _describe(self, index: int, stated: Stated) -> ImageInfo:
        image = self.found[index]
        if not image.levels:
            assert image.ome is not None
            return ImageInfo(index, image.name, image.kind, (), None, "", 0, image.ome.problem)
        levels = plan_levels([stored_level(stack[0]) for stack in image.levels])
        channels = max(len(image.levels[0]), image.page.samplesperpixel)
        info = ImageInfo(index, image.name, image.kind, levels, None, "", channels)
        if image.kind is ImageKind.OVERVIEW:
            # In a picture beside it, Aperio repeats what holds for the slide.
            own = None if is_aperio(image.page) else stated
            return replace(info, mpp=own.mpp, mpp_source=own.source) if isinstance(own, Resolution) else info
        mpp = self._why_not_one_plane(image) or self.mpps[index]
        return replace(info, mpp=mpp.value, mpp_source=mpp.source, problem=mpp.problem)

    def _why_not_one_plane(self, image: TiffImage) -> Mpp | None:
        """The problem of an image that no mpp mends; None if it has none."""
        try:
            if image.ome is not None:
                refuse_stacks(image.ome.pixels, image.page.samplesperpixel, self.path, channels=None)
        except SlideError as error:
            return Mpp(None, "", str(error).removeprefix(f"{self.path}: "))
        return None


def _stated(image: TiffImage) -> Stated:
    """What the file states of an image's pixel size."""
    if image.ome is None:
        return stated_resolution(image.page)
    stated, size = stated_resolution(image.page, image.ome.pixels), image.ome.stated_size
    if isinstance(stated, Resolution) and size not in (None, size_of(image.page)):
        height, width = size_of(image.page)
        text = f"PhysicalSizeX = {stated.col_mpp:.6g} um"
        reason = f"is of an image of {size[1]} x {size[0]} px, but its TIFF page has {width} x {height}"
        return Unusable(text, stated.source, reason)
    return stated


def describe_tiff(path: Path) -> FileContents:
    """All that a TIFF holds."""
    check_begin(path)
    with foreign_errors_become(DamagedSlideError, f"{path}: damaged TIFF"), TiffFile(path) as tiff:
        contents = TiffContents(tiff, path)
        pages = [image.page for image in contents.found if image.levels]
        kind = "OME-TIFF" if contents.found[0].ome is not None else "Aperio" if is_aperio(pages[0]) else "TIFF"
        big = "Big" if tiff.is_bigtiff and kind == "TIFF" else ""
        has_icc = any("InterColorProfile" in page.tags for page in pages)
        return FileContents(path, big + kind, "tifffile", contents.images, contents.notes, has_icc)
