"""TiffSlide: tiled or striped TIFF, BigTIFF, Aperio SVS and OME-TIFF with SubIFD pyramids.

tifffile reads the headers, once; pixels come by os.pread and tifffile's decoders, whose pixels equal OpenSlide's
bit for bit at several times its speed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tifffile import TiffFile, TiffPage

from scanner.errors import DamagedSlideError, SlideError
from scanner.geometry import Box
from scanner.slides.contents import sole_image
from scanner.slides.foreign import foreign_errors_become, reading_region
from scanner.slides.protocol import RGB, Held, Pixels, Slide, levels_from_sizes
from scanner.slides.read_through import NoBytesError, TiledLevels, TileSource
from scanner.slides.resolution import settle_field_mpp, settle_slide_mpp
from scanner.slides.tiff_metadata import is_aperio, refuse_stacks, stated_resolution
from scanner.slides.tiff_page import TiffLevel, plan_level, plan_stack
from scanner.slides.tiff_pyramid import COPY, find_levels, find_stacks


class TiffSlide(Slide):
    """A TIFF whose pages are the levels of a slide, or a plain field in a TIFF; read as RGB, or as its channels."""

    def __init__(self, path: Path, mpp: float | None = None, *, channels: int | None = RGB) -> None:
        self.path = path
        with foreign_errors_become(DamagedSlideError, f"{path}: damaged TIFF"), TiffFile(path) as tiff:
            refuse_stacks(tiff.pages.first, path, channels=channels)
            pages, self._tiff_levels = (_plan_rgb if channels == RGB else _plan_channels)(tiff, path)
            self.channels = self._tiff_levels[0].channels
            _check_whole(self._tiff_levels, tiff.filehandle.size, path)
            self.levels = levels_from_sizes([(level.height, level.width) for level in self._tiff_levels])
            stated = None if mpp is not None else stated_resolution(pages, self.levels, path)
            is_slide = len(pages) > 1 or is_aperio(pages[0])
            self.has_icc = "InterColorProfile" in pages[0].tags
        settle_mpp = settle_slide_mpp if is_slide else settle_field_mpp
        self.mpp, self.mpp_source = settle_mpp(path, stated, mpp)
        self.image = sole_image(self)
        self.images = (self.image,)
        sources = [
            TileSource((level.tile_height, level.tile_width), partial(self._read_tile, index))
            for index, level in enumerate(self._tiff_levels)
        ]
        self._tiles = TiledLevels(self.levels, sources, name=str(path), channels=self.channels)
        self._file = path.open("rb", buffering=0)

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        """Pixels of `box` in that level's pixels; see `Slide.read`."""
        return self._tiles.read(level, Box(*box))

    def read_held(self, level: int, box: tuple[int, int, int, int]) -> tuple[Pixels, Held | None]:
        """Pixels of `box`, and which can be read; see `protocol.read_held`."""
        return self._tiles.read_held(level, Box(*box))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._tiles.close()

    def _read_tile(self, level: int, row: int, col: int) -> Pixels:
        if self._file.closed:
            raise SlideError(f"{self.path} is closed")
        what = f"{self.path}: level {level}, TIFF tile in row {row}, column {col}"
        if not self._tiff_levels[level].has_bytes(row, col):
            raise NoBytesError(f"{what}: the file has no bytes for it")
        with reading_region(self.path, what):
            return self._tiff_levels[level].read_tile(self._file.fileno(), row, col)


def _plan_rgb(tiff: TiffFile, path: Path) -> tuple[list[TiffPage], list[TiffLevel]]:
    """The page of each level, and the level."""
    pages = find_levels(tiff, path)
    return pages, [plan_level(page, f"{path}: level {index}") for index, page in enumerate(pages)]


def _plan_channels(tiff: TiffFile, path: Path) -> tuple[list[TiffPage], list[TiffLevel]]:
    """The first page of each level, and the level with all its channels."""
    stacks = find_stacks(tiff, path)
    levels = [plan_stack(stack, f"{path}: level {index}") for index, stack in enumerate(stacks)]
    return [stack[0] for stack in stacks], levels


def _check_whole(levels: list[TiffLevel], size: int, path: Path) -> None:
    """Raise DamagedSlideError if the file ends before its pixels do, as where a copy was broken off."""
    needed = max(int((level.offsets + level.byte_counts)[level.byte_counts > 0].max(initial=0)) for level in levels)
    if needed > size:
        raise DamagedSlideError(f"{path}: the file is cut off at byte {size}: its pixels reach to {needed}; {COPY}")
