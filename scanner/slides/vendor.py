"""VendorSlide: what OpenSlide reads and we do not: NDPI, MIRAX, SCN, BIF, VMS, Philips, DICOM, ..."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import openslide

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.slides.dicom.levels import measure_levels
from scanner.slides.files.foreign import foreign_errors_become, reading_region
from scanner.slides.metadata.contents import FileContents, choose_image, sole_image
from scanner.slides.metadata.padding import levels_as_stated
from scanner.slides.metadata.resolution import Stated, settle_mpp
from scanner.slides.metadata.stated import Length, resolution_from_sides
from scanner.slides.pixels.colour import composite
from scanner.slides.pixels.protocol import WHITE, ImageInfo, ImageKind, Level, Pixels, levels_from_sizes
from scanner.slides.pixels.read_through import TiledLevels, TiledSlide, TileSource

#: OpenSlide places a region by level-0 coordinates. Where a downsample is not an integer, a region's pixels would
#: depend on where it begins; so only squares of this side are asked for, at fixed places.
SQUARE = 512  # level px
#: Formats whose transparent pixels have no bytes. In the others they were never scanned, which MIRAX, SCN and BIF say
#: by leaving them out: no tissue.
LEAVE_OUT = ("dicom", "philips", "trestle", "aperio")


class VendorSlide(TiledSlide):
    """A slide behind OpenSlide; level 0 is OpenSlide's."""

    def __init__(self, path: Path, *, image: int | None = None) -> None:
        self.path = path
        self._handle: openslide.OpenSlide | None = self._open()
        properties = dict(self._handle.properties)
        vendor = properties.get(openslide.PROPERTY_NAME_VENDOR, "")
        self.levels = _levels(path, [(height, width) for width, height in self._handle.level_dimensions], vendor)
        self._openslide_downsamples = self._handle.level_downsamples
        self._background = _background(properties)
        self.origin = _origin(properties)
        self.has_icc = self._handle.color_profile is not None
        self.file_mpp = settle_mpp(_stated_resolution(properties), is_slide=True)
        self.mpp, self.mpp_source = self.file_mpp.value, self.file_mpp.source
        self.images = (sole_image(self.levels, self.file_mpp), *_associated_images(properties))
        self.image = choose_image(self.images, path, image)
        if self.image.index:
            raise UnsupportedSlideError(f"{path}: {self.image.name!r} is an overview beside the slide, not the slide")
        self._leaves_out = vendor in LEAVE_OUT
        sources = [TileSource((SQUARE, SQUARE), partial(self._read_square, index)) for index in range(len(self.levels))]
        self._tiles = TiledLevels(self.levels, sources, name=str(path))
        self._reopening = Lock()

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            self._handle.close()
        self._handle = None
        self._tiles.close()

    def _read_square(self, level: int, row: int, col: int) -> Pixels:
        if (handle := self._handle) is None:
            raise SlideError(f"{self.path} is closed")
        downsample = self._openslide_downsamples[level]
        location = (round(col * SQUARE * downsample), round(row * SQUARE * downsample))
        what = f"{self.path}: level {level}, {SQUARE} px square in row {row}, column {col}"
        with reading_region(self.path, what):
            try:
                rgba = np.asarray(handle.read_region(location, level, (SQUARE, SQUARE)))
            except openslide.OpenSlideError:
                self._replace(handle)
                raise
        pixels = composite(rgba, self._background)
        if not self._leaves_out or rgba[..., 3].all():
            return pixels
        return np.concatenate([pixels, self._on_level(level, rgba[..., 3:], row, col)], axis=2)

    def _on_level(self, level: int, alpha: Pixels, row: int, col: int) -> Pixels:
        """The opacity of a square; what lies beyond the level lacks nothing."""
        opacity = alpha.copy()
        opacity[max(0, self.levels[level].height - row * SQUARE) :] = WHITE
        opacity[:, max(0, self.levels[level].width - col * SQUARE) :] = WHITE
        return opacity

    def _replace(self, failed: openslide.OpenSlide) -> None:
        """Open the file anew: after one error an OpenSlide handle answers every call with that error."""
        with self._reopening:
            if self._handle is failed:
                self._handle = self._open()

    def _open(self) -> openslide.OpenSlide:
        with foreign_errors_become(DamagedSlideError, f"{self.path}: OpenSlide"):
            return openslide.OpenSlide(self.path)


def _levels(path: Path, sizes: list[tuple[int, int]], vendor: str) -> tuple[Level, ...]:
    """The levels; those of DICOM as their files state them."""
    measured = measure_levels(path) if vendor == "dicom" else {}
    if sizes[0] not in measured:
        return levels_from_sizes(sizes)
    spacings = [measured[size].spacing if size in measured else None for size in sizes]
    stated = [None if spacing is None else spacing / measured[sizes[0]].spacing for spacing in spacings]
    return levels_as_stated(sizes, stated, [measured[size].tile if size in measured else (1, 1) for size in sizes])


def describe_vendor(path: Path) -> FileContents:
    """All that a slide behind OpenSlide holds."""
    with VendorSlide(path) as slide:
        return FileContents(path, detect_vendor(path) or "", "OpenSlide", slide.images, has_icc=slide.has_icc)


def _associated_images(properties: dict[str, str]) -> Iterator[ImageInfo]:
    """The pictures beside the slide, by their names."""
    names = sorted({key.split(".")[2] for key in properties if key.startswith("openslide.associated.")})
    for index, name in enumerate(names, start=1):
        height, width = (int(properties[f"openslide.associated.{name}.{side}"]) for side in ("height", "width"))
        yield ImageInfo(index, name, ImageKind.OVERVIEW, (Level(height, width, 1.0),), None, "")


def detect_vendor(path: Path) -> str | None:
    """OpenSlide's name of the file's format, e.g. "aperio" or "mirax"; None if it knows none."""
    with foreign_errors_become(DamagedSlideError, f"{path}: OpenSlide"):
        return openslide.OpenSlide.detect_format(path)


def _background(properties: dict[str, str]) -> tuple[int, int, int]:
    """The colour under transparent pixels, white where the slide names none."""
    digits = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        return WHITE, WHITE, WHITE
    return red, green, blue


def _origin(properties: dict[str, str]) -> tuple[int, int]:
    """Top left of what was scanned, (0, 0) where the format has no empty frame around it."""
    try:
        return int(properties[openslide.PROPERTY_NAME_BOUNDS_Y]), int(properties[openslide.PROPERTY_NAME_BOUNDS_X])
    except (KeyError, ValueError):
        return 0, 0


def _stated_resolution(properties: dict[str, str]) -> Stated:
    names = (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)
    row, col = (Length(name, properties.get(name), "um") for name in names)
    return resolution_from_sides(row, col, "openslide property")
