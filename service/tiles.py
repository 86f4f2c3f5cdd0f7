"""Tiles: pieces of a slide for the viewer, decoded in processes of their own, so that no file can take the API down.

Frames: level-0 pixels, and the pixels of a DeepZoom level, of which the last one is level 0 and each before it half.
"""

from __future__ import annotations

import asyncio
import io
import math
import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from scanner.errors import DamagedSlideError
from scanner.geometry import Box
from scanner.slides import Slide, open_slide

TILE_SIDE = 512  # px of a DeepZoom level
JPEG_QUALITY = 85
PROCESSES = 2
#: Address space of a tile process: a decoder that wants more fails, and not the machine.
MEMORY_LIMIT = 6 * 1024**3
#: Level pixels read at once where a slide has no level that is small enough.
STRIP_PX = 2**24
TIMEOUT = 30.0  # seconds

P = ParamSpec("P")
R = TypeVar("R")


class TileOutsideError(LookupError):
    """The slide has no such tile."""


class TileTooSlowError(Exception):
    """The tile could not be made in time."""


@dataclass(frozen=True)
class Pyramid:
    """The DeepZoom pyramid of a slide of that size."""

    width: int
    height: int

    @property
    def levels(self) -> int:
        """Number of levels; the first is one pixel, the last is level 0."""
        return math.ceil(math.log2(max(self.width, self.height, 1))) + 1

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of a DeepZoom level."""
        return int(2 ** (self.levels - 1 - level))

    def level0_box(self, level: int, row: int, col: int) -> Box:
        """What a tile shows; TileOutsideError if that is nothing."""
        if not 0 <= level < self.levels:
            raise TileOutsideError(f"the slide has levels 0 to {self.levels - 1}")
        side = TILE_SIDE * self.downsample(level)
        box = Box(row * side, col * side, (row + 1) * side, (col + 1) * side).clipped(self.height, self.width)
        if box.area == 0:
            raise TileOutsideError(f"level {level} has no tile {col}_{row}")
        return box


class TileMaker:
    """Makes tiles in other processes, and new processes when those die."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `function` returns in another process. DamagedSlideError if that process dies of it."""
        assert not kwargs
        self._pool = self._pool or self._make_pool()
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, function, *args)
            return await asyncio.wait_for(work, TIMEOUT)
        except BrokenProcessPool as error:
            self.close()
            raise DamagedSlideError("the slide could not be decoded") from error
        except TimeoutError as error:
            self.close()
            raise TileTooSlowError("the tile took too long") from error

    def close(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool:
            for process in multiprocessing.active_children():
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _make_pool() -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")  # A fork would share the API's sockets and locks.
        return ProcessPoolExecutor(PROCESSES, mp_context=spawn, initializer=_limit_memory)


def slide_tile(path: Path, mpp: float | None, level: int, place: tuple[int, int]) -> bytes:
    """A DeepZoom tile of the slide as JPEG; `place` is (row, col)."""
    slide = _open(path, mpp)
    level0 = slide.levels[0]
    pyramid = Pyramid(level0.width, level0.height)
    box = pyramid.level0_box(level, *place)
    pixels = read_reduced(slide, box, pyramid.downsample(level))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def slide_size(path: Path, mpp: float | None) -> tuple[int, int, float | None]:
    """Width, height and mpp of a slide at level 0."""
    slide = _open(path, mpp)
    return slide.levels[0].width, slide.levels[0].height, slide.mpp


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
        picture = Image.fromarray(slide.read(index, read))
        strips.append(np.asarray(picture.resize((cols, stop - start), Image.Resampling.BOX)))
    return np.concatenate(strips)


@lru_cache(maxsize=8)
def _open(path: Path, mpp: float | None) -> Slide:
    return open_slide(path, mpp)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
