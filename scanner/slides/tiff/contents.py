"""What a TIFF holds, in words that no library has: its images with their levels and mpp."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tifffile import TiffFile

from scanner.errors import DamagedSlideError, SlideError
from scanner.slides.files.foreign import foreign_errors_become
from scanner.slides.metadata.contents import FileContents
from scanner.slides.metadata.overviews import tell_overviews
from scanner.slides.metadata.padding import levels_by_resolution
from scanner.slides.metadata.resolution import Resolution, Stated, Unusable, settle_field_mpp, settle_slide_mpp
from scanner.slides.pixels.protocol import ImageInfo, ImageKind
from scanner.slides.tiff.images import TiffImage, find_images
from scanner.slides.tiff.metadata import is_aperio, refuse_stacks, stated_by_tags, stated_resolution
from scanner.slides.tiff.pyramid import check_begin, size_of, tile_of


class TiffContents:
    """The images of an open TIFF, and what they state."""

    def __init__(self, tiff: TiffFile, path: Path) -> None:
        self.path = path
        self.found, notes = find_images(tiff, path)
        self.notes = tuple(notes)
        #: A slide that does not state its mpp is refused; a plain field may be silent.
        self.is_slide = bool(notes) or any(
            len(image.levels) > 1 or (image.levels and is_aperio(image.page)) for image in self.found
        )
        silent = {index for index, image in enumerate(self.found) if image.levels and self.stated(image) is None}
        self.images = tell_overviews([self._describe(index, image) for index, image in enumerate(self.found)], silent)

    def settle_mpp(self, image: TiffImage, override: float | None) -> tuple[float | None, str]:
        """(mpp, source) of an image; see `settle_slide_mpp` and `settle_field_mpp`."""
        stated = None if override is not None else self.stated(image)
        settle = settle_slide_mpp if self.is_slide else settle_field_mpp
        return settle(self.path, stated, override)

    def stated(self, image: TiffImage) -> Stated:
        """What the file states of an image's pixels."""
        if image.ome is None:
            return stated_resolution(image.page)
        stated, size = stated_resolution(image.page, image.ome.pixels), image.ome.stated_size
        if isinstance(stated, Resolution) and size not in (None, size_of(image.page)):
            height, width = size_of(image.page)
            said = f"PhysicalSizeX = {stated.col_mpp:.6g} um"
            reason = f"is of an image of {size[1]} x {size[0]} px, but its TIFF page has {width} x {height}"
            return Unusable(said, stated.source, reason)
        return stated

    def _describe(self, index: int, image: TiffImage) -> ImageInfo:
        if not image.levels:
            assert image.ome is not None
            return ImageInfo(index, image.name, image.kind, (), None, "", 0, image.ome.problem)
        pages = [stack[0] for stack in image.levels]
        own = [stated_by_tags(page) for page in pages]
        levels = levels_by_resolution([size_of(page) for page in pages], own, [tile_of(page) for page in pages])
        channels = max(len(image.levels[0]), image.page.samplesperpixel)
        info = ImageInfo(index, image.name, image.kind, levels, None, "", channels)
        if image.kind is ImageKind.OVERVIEW:
            # In a picture beside it, Aperio repeats what holds for the slide.
            said = None if is_aperio(image.page) else self.stated(image)
            return replace(info, mpp=said.mpp, mpp_source=said.source) if isinstance(said, Resolution) else info
        try:
            if image.ome is not None:
                refuse_stacks(image.ome.pixels, image.page.samplesperpixel, self.path, channels=None)
            mpp, source = self.settle_mpp(image, None)
        except SlideError as error:
            return replace(info, problem=str(error).removeprefix(f"{self.path}: "))
        return replace(info, mpp=mpp, mpp_source=source)


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
