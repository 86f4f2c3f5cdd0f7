"""CziSlide: Zeiss CZI through Zeiss' own library, pylibCZIrw (extra `czi`), for those that OpenSlide does not read.

All scenes lie in one frame, the bounding box of the file, as OpenSlide places them: one slide, with glass between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any
from xml.etree import ElementTree

import numpy as np

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.slides.czi.segments import check_segments
from scanner.slides.files.foreign import foreign_errors_become, reading_region
from scanner.slides.metadata.contents import FileContents, choose_image, sole_image
from scanner.slides.metadata.resolution import Resolution, settle_mpp
from scanner.slides.pixels.colour import eight_bits
from scanner.slides.pixels.limits import MAX_SIDE, MAX_TILE_AREA
from scanner.slides.pixels.protocol import ImageInfo, Level, Pixels
from scanner.slides.pixels.read_through import TiledLevels, TiledSlide, TileSource

INSTALL = "pip install 'mitoscan[czi]' adds Zeiss' own reader"
MAGIC = b"ZISRAWFILE"
#: What is asked for at once.
TILE = 512  # level px
WHITE = (1.0, 1.0, 1.0)
#: Pyramids of slides halve; a tenth of a percent is how sides round.
_ROUNDING = 0.1
_UM_PER_METRE = 1e6
_MAX_XML = 2**24  # characters


def has_czi_reader() -> bool:
    """Whether the extra `czi` is installed."""
    return find_spec("pylibCZIrw") is not None


class CziSlide(TiledSlide):
    """A brightfield slide behind pylibCZIrw; level 0 begins at the corner of the file's bounding box."""

    def __init__(self, path: Path, *, image: int | None = None) -> None:
        self.path = path
        with foreign_errors_become(DamagedSlideError, f"{path}: damaged CZI"):
            check_segments(path)
            self._reader: Any = import_module("pylibCZIrw.czi").CziReader(str(path))
            try:
                _refuse_others(self._reader.total_bounding_box, self._reader.pixel_types, path)
                frame = self._reader.total_bounding_rectangle
                self._corner = (int(frame.y), int(frame.x))
                self.levels = _levels(self._reader, (int(frame.h), int(frame.w)), path)
                self.file_mpp = settle_mpp(_stated_resolution(self._reader.raw_metadata), is_slide=True)
                self.mpp, self.mpp_source = self.file_mpp.value, self.file_mpp.source
                self.images: tuple[ImageInfo, ...] = (sole_image(self.levels, self.file_mpp),)
                self.image = choose_image(self.images, path, image)
            except BaseException:
                self._reader.close()
                raise
        sources = [TileSource((TILE, TILE), partial(self._read_tile, index)) for index in range(len(self.levels))]
        self._tiles = TiledLevels(self.levels, sources, name=str(path))
        self._lock = Lock()  # That libCZI's reader may be shared by threads is not promised.
        self._is_closed = False

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if not self._is_closed:
                self._reader.close()
            self._is_closed = True
        self._tiles.close()

    def _read_tile(self, level: int, row: int, col: int) -> Pixels:
        step = round(self.levels[level].downsample)
        roi = (self._corner[1] + col * TILE * step, self._corner[0] + row * TILE * step, TILE * step, TILE * step)
        what = f"{self.path}: level {level}, {TILE} px square in row {row}, column {col}"
        with self._lock:
            if self._is_closed:
                raise SlideError(f"{self.path} is closed")
            with reading_region(self.path, what):
                bgr = self._reader.read(roi=roi, zoom=1 / step, background_pixel=WHITE)
        return np.ascontiguousarray(eight_bits(bgr[:, :, ::-1]))


def describe_czi(path: Path) -> FileContents:
    """All that a CZI holds, as this reader takes it."""
    with CziSlide(path) as slide:
        return FileContents(path, "Zeiss CZI", "pylibCZIrw", slide.images, has_icc=slide.has_icc)


def _refuse_others(sides: Mapping[str, tuple[int, int]], kinds: Mapping[int, str], path: Path) -> None:
    """UnsupportedSlideError unless the file holds one plane of colours."""
    sizes = {name: stop - start for name, (start, stop) in sides.items() if name not in "XYSM"}
    longer = [f"{name} = {size}" for name, size in sizes.items() if size > 1]
    if longer:
        raise UnsupportedSlideError(f"{path}: {', '.join(longer)}: a scan needs one plane")
    if set(kinds.values()) - {"Bgr24", "Bgr48"}:
        raise UnsupportedSlideError(
            f"{path}: pixels of type {', '.join(sorted(set(kinds.values())))} are not brightfield RGB; several "
            "channels together are read from OME-TIFF"
        )


def _levels(reader: Any, size: tuple[int, int], path: Path) -> tuple[Level, ...]:
    """Level 0, and those of which every scene has pixels in the file: others would be drawn by leaving pixels out."""
    if not (0 < size[0] <= MAX_SIDE and 0 < size[1] <= MAX_SIDE):
        raise DamagedSlideError(f"{path}: {size[1]} x {size[0]} px is not the size of a slide")
    covered: Counter[int] = Counter()

    def count(_index: int, part: Any) -> bool:
        stored, logical = part.physicalSize, part.logicalRect
        if stored.w * stored.h > MAX_TILE_AREA:
            raise DamagedSlideError(f"{path}: a subblock of {stored.w} x {stored.h} px is impossible")
        step = logical.w / max(stored.w, 1)
        if abs(step - round(step)) < _ROUNDING * step and round(step).bit_count() == 1:
            covered[round(step)] += logical.w * logical.h
        return True

    reader.enumerate_subblocks(count)
    steps = [step for step in sorted(covered) if step > 1 and covered[step] >= covered[1]]
    return tuple(Level(-(-size[0] // step), -(-size[1] // step), float(step)) for step in (1, *steps))


def _stated_resolution(xml: str) -> Resolution | None:
    """From Scaling's Distance in the metadata, in metres; None if there is none, or zero."""
    if len(xml) > _MAX_XML or "<!ENTITY" in xml:
        return None
    root = ElementTree.fromstring(xml)  # noqa: S314  (no entities: see above)
    sides = {item.get("Id"): item.findtext("Value") for item in root.iterfind(".//Scaling/Items/Distance")}
    row, col = (float(sides.get(axis) or 0) * _UM_PER_METRE for axis in "YX")
    return Resolution(row, col, "czi scaling") if row and col else None
