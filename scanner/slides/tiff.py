"""TiffSlide: tiled or striped TIFF, BigTIFF, Aperio SVS and OME-TIFF with SubIFD pyramids.

tifffile reads the headers, once; pixels come by os.pread and tifffile's decoders, whose pixels equal OpenSlide's
bit for bit at several times its speed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tifffile import TiffFile, TiffPage

from scanner.errors import DamagedSlideError, SlideError, UnreadableRegionError, UnsupportedSlideError
from scanner.geometry import Box
from scanner.slides.foreign import foreign_errors_become
from scanner.slides.mosaic import TileCache, assemble
from scanner.slides.protocol import Pixels, Slide, levels_from_sizes
from scanner.slides.resolution import (
    Resolution,
    check_level,
    ome_pixels,
    resolution_from_aperio,
    resolution_from_ome,
    resolution_from_tags,
    settle_field_mpp,
    settle_slide_mpp,
)
from scanner.slides.tiff_page import TiffLevel, plan_level
from scanner.slides.tiff_pyramid import find_levels

_INCH = 2  # What ResolutionUnit means where it is missing (TIFF 6.0).


class TiffSlide(Slide):
    """A TIFF whose pages are the levels of a slide, or a plain field in a TIFF."""

    def __init__(self, path: Path, mpp: float | None = None) -> None:
        self.path = path
        with (
            foreign_errors_become(DamagedSlideError, f"{path}: damaged TIFF"),
            TiffFile(path, _multifile=False) as tiff,
        ):
            pages = find_levels(tiff, path)
            _refuse_channels(pages[0], path)
            self._planned = [plan_level(page, f"{path}: level {index}") for index, page in enumerate(pages)]
            self.levels = levels_from_sizes([(level.height, level.width) for level in self._planned])
            stated = self._stated_resolution(pages) if mpp is None else None
            is_slide = len(pages) > 1 or is_aperio(pages[0])
        settle = settle_slide_mpp if is_slide else settle_field_mpp
        self.mpp, self.mpp_source = settle(path, stated, mpp)
        self._cache = TileCache()
        self._file = path.open("rb", buffering=0)

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        """Pixels of `box` in that level's pixels; see `Slide.read`."""
        planned = self._planned[level]
        return assemble(
            self.levels[level],
            Box(*box),
            tile_shape=(planned.tile_height, planned.tile_width),
            tile_at=partial(self._tile_at, level),
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._cache.clear()

    def _tile_at(self, level: int, row: int, col: int) -> Pixels:
        planned: TiffLevel = self._planned[level]
        if self._file.closed:
            raise SlideError(f"{self.path} is closed")
        what = f"{self.path}: level {level}, TIFF tile in row {row}, column {col}"
        with foreign_errors_become(UnreadableRegionError, what):
            return self._cache.get((level, row, col), lambda: planned.read_tile(self._file.fileno(), row, col))

    def _stated_resolution(self, pages: list[TiffPage]) -> Resolution | None:
        """What the file states, the most specific statement first."""
        description = pages[0].description
        by_text = resolution_from_aperio(description) if is_aperio(pages[0]) else resolution_from_ome(description)
        if by_text is not None:
            return by_text
        stated = _tag_resolution(pages[0])
        for page, level in zip(pages[1:], self.levels[1:], strict=True):
            reduced = _tag_resolution(page)
            if stated is not None and reduced is not None:
                check_level(self.path, stated, reduced, level.downsample)
        return stated


def is_aperio(page: TiffPage) -> bool:
    """Whether an Aperio scanner, or a writer that follows it, described the page."""
    return bool(page.description.startswith("Aperio"))


def _refuse_channels(page: TiffPage, path: Path) -> None:
    """Refuse OME-TIFF whose first page is one channel, focus or time of several."""
    pixels = ome_pixels(page.description)
    if pixels is None:
        return
    sizes: dict[str, Any] = {axis: pixels.get(f"Size{axis}", "1") for axis in "CZT"}
    shown = {"C": str(page.samplesperpixel), "Z": "1", "T": "1"}
    more = [f"Size{axis} = {sizes[axis]}" for axis in "CZT" if sizes[axis] not in ("1", shown[axis])]
    if more:
        raise UnsupportedSlideError(f"{path}: {', '.join(more)}: one RGB plane is needed")


def _tag_resolution(page: TiffPage) -> Resolution | None:
    rows, cols = (_ratio(page.tags.valueof(name)) for name in ("YResolution", "XResolution"))
    return resolution_from_tags(rows, cols, int(page.tags.valueof("ResolutionUnit", _INCH)))


def _ratio(value: object) -> float | None:
    """A TIFF rational (numerator, denominator) as a number."""
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return float(value[0] / value[1])
    return None
