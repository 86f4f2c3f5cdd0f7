"""Tiles, thumbnails and crops of a slide for the viewer, as JPEG. They run in the processes of tile_processes.py.

Frames: level-0 pixels, and the pixels of a DeepZoom level, of which the last one is level 0 and each before it half.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scanner.errors import UnreadableRegionError
from scanner.geometry.frames import Box
from scanner.slides import Slide
from scanner.slides.opening import open_image
from scanner.slides.pixels.colour import shown_as_rgb
from scanner.slides.pixels.protocol import read_masked
from service.problems import ReportedError
from service.slides_in.server_paths import fingerprint

TILE_SIDE = 512  # px of a DeepZoom level
JPEG_QUALITY = 85
THUMBNAIL_SIDE = 128  # px
#: Side of the picture of a detection.
CROP_SIDE = 128  # px
#: Level pixels read at once where a slide has no level that is small enough.
STRIP_PX = 2**24
#: Grey value of places that cannot be read.
UNREADABLE_GREY = 128
UNREADABLE_SIDE = 64  # px of a level


class SlideChangedError(ReportedError):
    """The slide is a file of the server's folders, and is not the one that was scanned any more."""

    problem_type = "slide-changed"


class TileOutsideError(ReportedError, LookupError):
    """The slide has no such tile."""

    problem_type = "tile-not-found"


@dataclass(frozen=True)
class TileSource:
    """The slide image of a job."""

    path: Path
    mpp: float | None = None
    #: Index of the image of its file; None: the first that is no overview.
    image: int | None = None
    #: What `server_paths.fingerprint` said of a file of the server's folders when it was scanned.
    fingerprint: str = ""


@dataclass(frozen=True)
class Pyramid:
    """The DeepZoom pyramid of a slide of that size."""

    width: int
    height: int

    @property
    def thumbnail_level(self) -> int:
        """The largest level whose longest side is at most THUMBNAIL_SIDE."""
        return min(self.levels - 1, int(math.log2(THUMBNAIL_SIDE)))

    @property
    def levels(self) -> int:
        """Number of levels; the first is one pixel, the last is level 0."""
        return math.ceil(math.log2(max(self.width, self.height, 1))) + 1

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of a DeepZoom level."""
        return int(2 ** (self.levels - 1 - level))

    def level0_box(self, level: int, row: int, col: int) -> Box:
        """The box that a tile shows; TileOutsideError if it is empty."""
        if not 0 <= level < self.levels:
            raise TileOutsideError(f"the slide has levels 0 to {self.levels - 1}")
        side = TILE_SIDE * self.downsample(level)
        box = Box(row * side, col * side, (row + 1) * side, (col + 1) * side).clipped(self.height, self.width)
        if box.area == 0:
            raise TileOutsideError(f"level {level} has no tile {col}_{row}")
        return box


def slide_tile(source: TileSource, level: int, place: tuple[int, int]) -> bytes:
    """A DeepZoom tile of the slide as JPEG; `place` is (row, col)."""
    slide = open_source(source)
    level0 = slide.levels[0]
    pyramid = Pyramid(level0.width, level0.height)
    box = pyramid.level0_box(level, *place)
    pixels = read_reduced(slide, box, pyramid.downsample(level))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def slide_thumbnail(source: TileSource) -> bytes:
    """The whole slide as JPEG, small."""
    level0 = open_source(source).levels[0]
    return slide_tile(source, Pyramid(level0.width, level0.height).thumbnail_level, (0, 0))


def slide_crop(source: TileSource, place: tuple[int, int], side: int) -> bytes:
    """The square of `side` level-0 pixels around a level-0 (row, col) as JPEG; white beyond the slide's border."""
    slide = open_source(source)
    level0, (row, col) = slide.levels[0], place
    if not (0 <= row < level0.height and 0 <= col < level0.width):
        raise TileOutsideError(f"the slide has {level0.width} x {level0.height} px")
    whole = Box(row - side // 2, col - side // 2, row - side // 2 + side, col - side // 2 + side)
    box = whole.clipped(level0.height, level0.width)
    picture = Image.new("RGB", (side, side), "white")
    picture.paste(Image.fromarray(_read_what_can_be_read(slide, 0, box)), (box.left - whole.left, box.top - whole.top))
    buffer = io.BytesIO()
    picture.resize((CROP_SIDE, CROP_SIDE), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def slide_size(source: TileSource) -> tuple[int, int, float | None]:
    """Width, height and mpp of a slide at level 0."""
    slide = open_source(source)
    return slide.levels[0].width, slide.levels[0].height, slide.mpp


def require_unchanged(source: TileSource) -> None:
    """SlideChangedError if the file is there, and is another than the one that was scanned."""
    if source.fingerprint and source.path.exists() and fingerprint(source.path) != source.fingerprint:
        raise SlideChangedError("the slide has changed since it was scanned: submit it again")


def read_reduced(slide: Slide, box: Box, downsample: int) -> npt.NDArray[np.uint8]:
    """The slide in a level-0 `box`, reduced `downsample` times, read from the best level in strips.

    Returns
    -------
    ndarray of shape (ceil(box.height / downsample), ceil(box.width / downsample), 3), uint8
    """
    index = max(
        (index for index, level in enumerate(slide.levels) if level.downsample <= downsample),
        key=lambda index: slide.levels[index].downsample,
    )
    level = slide.levels[index]
    rows, cols = -(-box.height // downsample), -(-box.width // downsample)
    left, right = (round(edge / level.downsample) for edge in (box.left, box.right))
    # Whole output rows per strip, so that strips join without a seam.
    rows_per_strip = max(1, int(STRIP_PX / max(1, right - left) * level.downsample / downsample))
    strips = []
    for start in range(0, rows, rows_per_strip):
        stop = min(rows, start + rows_per_strip)
        top = round((box.top + start * downsample) / level.downsample)
        bottom = round(min(box.bottom, box.top + stop * downsample) / level.downsample)
        read = Box(top, left, max(bottom, top + 1), max(right, left + 1))
        picture = Image.fromarray(_read_what_can_be_read(slide, index, read))
        strips.append(np.asarray(picture.resize((cols, stop - start), Image.Resampling.BOX)))
    return np.concatenate(strips)


def _read_what_can_be_read(slide: Slide, level: int, box: Box) -> npt.NDArray[np.uint8]:
    """Pixels of a level, (height, width, 3); grey where they cannot be read, to within UNREADABLE_SIDE."""
    try:
        found, readable = read_masked(slide, level, box)
        shown = shown_as_rgb(found)
        return shown if readable is None else np.where(readable[..., None], shown, np.uint8(UNREADABLE_GREY))
    except UnreadableRegionError:
        pixels = np.full((box.height, box.width, 3), UNREADABLE_GREY, np.uint8)
        if max(box.height, box.width) <= UNREADABLE_SIDE:
            return pixels
    middle_row, middle_col = (box.top + box.bottom + 1) // 2, (box.left + box.right + 1) // 2
    for top, bottom in ((box.top, middle_row), (middle_row, box.bottom)):
        for left, right in ((box.left, middle_col), (middle_col, box.right)):
            part = Box(top, left, bottom, right)
            if part.area:
                pixels[part.shifted(-box.top, -box.left).slices()] = _read_what_can_be_read(slide, level, part)
    return pixels


def open_source(source: TileSource) -> Slide:
    """The slide, kept open for the next call.

    Raises
    ------
    SlideChangedError
        The file is another than the one that was scanned: its pixels do not go with what was found.
    """
    try:
        status = source.path.stat()
    except OSError:
        return _open(source, 0, 0)  # It says what is wrong.
    return _open(source, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _open(source: TileSource, _changed_ns: int, _bytes: int) -> Slide:
    require_unchanged(source)
    return open_image(source.path, source.mpp, channels=None, image=source.image)
