"""TiffSlide: tiled or striped TIFF, BigTIFF, Aperio SVS and OME-TIFF with SubIFD pyramids.

tifffile reads the headers, once; pixels come by os.pread and tifffile's decoders, whose pixels equal OpenSlide's
bit for bit at several times its speed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tifffile import TiffFile

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.slides.files.foreign import foreign_errors_become, reading_region
from scanner.slides.metadata.contents import choose_image
from scanner.slides.pixels.protocol import RGB, Pixels
from scanner.slides.pixels.read_through import NoBytesError, TiledLevels, TiledSlide, TileSource
from scanner.slides.tiff.colour import order_of_colours, significant_bits
from scanner.slides.tiff.contents import TiffContents
from scanner.slides.tiff.images import TiffImage
from scanner.slides.tiff.metadata import COLOURS, refuse_stacks
from scanner.slides.tiff.page import TiffLevel, plan_level, plan_planes, plan_stack
from scanner.slides.tiff.pyramid import COPY, check_begin


class TiffSlide(TiledSlide):
    """A TIFF whose pages are the levels of a slide, or a plain field in a TIFF; read as RGB, or as its channels."""

    def __init__(self, path: Path, *, channels: int | None = RGB, image: int | None = None) -> None:
        self.path = path
        check_begin(path)
        with foreign_errors_become(DamagedSlideError, f"{path}: damaged TIFF"), TiffFile(path) as tiff:
            contents = TiffContents(tiff, path)
            self.images, self.notes = contents.images, contents.notes
            self.image = choose_image(self.images, path, image)
            chosen = contents.found[self.image.index]
            self._tiff_levels = _plan_levels(chosen, path, channels)
            self.channels = self._tiff_levels[0].channels
            _check_whole(self._tiff_levels, tiff.filehandle.size, path)
            self.levels = self.image.levels
            self.sample_bits = significant_bits(chosen.page, None if chosen.ome is None else chosen.ome.pixels)
            self.has_icc = "InterColorProfile" in chosen.page.tags
            self.file_mpp = contents.mpps[self.image.index]
            self.mpp, self.mpp_source = self.file_mpp.value, self.file_mpp.source
        sources = [
            TileSource((level.tile_height, level.tile_width), partial(self._read_tile, index))
            for index, level in enumerate(self._tiff_levels)
        ]
        self._tiles = TiledLevels(self.levels, sources, name=str(path), channels=self.channels)
        self._file = path.open("rb", buffering=0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._tiles.close()

    def _read_tile(self, level: int, row: int, col: int) -> Pixels:
        if self._file.closed:
            raise SlideError(f"{self.path} is closed")
        what = f"{self.path}: level {level}, TIFF tile in row {row}, column {col}"
        if not self._tiff_levels[level].has_bytes(row, col):
            raise NoBytesError(f"{what}: the file holds no data for it")
        with reading_region(self.path, what):
            return self._tiff_levels[level].read_tile(self._file.fileno(), row, col)


def _plan_levels(image: TiffImage, path: Path, channels: int | None) -> list[TiffLevel]:
    """Where and how the pixels of each level are read, as RGB or with all channels."""
    if not image.levels:
        assert image.ome is not None
        raise UnsupportedSlideError(f"{path}: {image.ome.problem}")
    pixels = None if image.ome is None else image.ome.pixels
    order = order_of_colours(image.levels[0], pixels) if channels == RGB else None
    if pixels is not None:
        refuse_stacks(pixels, image.page.samplesperpixel, path, channels=None if order else channels)
    if channels != RGB:
        return [plan_stack(stack, f"{path}: level {index}") for index, stack in enumerate(image.levels)]
    if order is not None:
        return [
            plan_planes(stack, f"{path}: level {index}", order=order, pixels=pixels)
            for index, stack in enumerate(image.levels)
        ]
    if len(image.levels[0]) > 1:
        raise UnsupportedSlideError(f"{path}: several pages of full size (a stack, or separate channels); {COLOURS}")
    return [plan_level(page, f"{path}: level {index}", pixels=pixels) for index, (page,) in enumerate(image.levels)]


def _check_whole(levels: list[TiffLevel], size: int, path: Path) -> None:
    """Raise DamagedSlideError if the file ends before its pixels do, as where a copy was broken off."""
    needed = max(int((level.offsets + level.byte_counts)[level.byte_counts > 0].max(initial=0)) for level in levels)
    if needed > size:
        raise DamagedSlideError(f"{path}: the file is cut off at byte {size}: its pixels reach to {needed}; {COPY}")
