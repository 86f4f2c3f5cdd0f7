"""A slide in memory, for tests of what is done with slides rather than of reading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from scanner.errors import UnreadableRegionError
from scanner.geometry.frames import Box, Frame, plan_frame
from scanner.slides.pixels.protocol import WHITE, ImageInfo, ImageKind, Pixels, levels_from_sizes


class ArraySlide:
    """Levels given as arrays; boxes of level 0 that cannot be read; the number of pixels read at most at once."""

    def __init__(self, levels: Sequence[Pixels], *, mpp: float = 0.25, unreadable: Sequence[Box] = ()) -> None:
        self.path = Path("array.tif")
        self.levels = levels_from_sizes([level.shape[:2] for level in levels])
        self.mpp: float | None = mpp
        self.mpp_source = "override"
        self.origin = (0, 0)
        self.has_icc = False
        self.channels = levels[0].shape[2]
        self.image = ImageInfo(0, "", ImageKind.IMAGE, self.levels, mpp, self.mpp_source, self.channels)
        self.images = (self.image,)
        self.sample_bits = 8
        self.notes: tuple[str, ...] = ()
        self.largest_read = 0
        self.levels_read: set[int] = set()
        self._arrays = levels
        self._unreadable = unreadable

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        wanted = Box(*box)
        self.largest_read = max(self.largest_read, wanted.area)
        self.levels_read.add(level)
        if any(self._touches(lost, wanted, self.levels[level].downsample) for lost in self._unreadable):
            raise UnreadableRegionError("made so")
        inside = wanted.clipped(*self._arrays[level].shape[:2])
        pixels = np.full((wanted.height, wanted.width, self.channels), WHITE, np.uint8)
        target = inside.shifted(-wanted.top, -wanted.left)
        pixels[target.slices()] = self._arrays[level][inside.slices()]
        return pixels

    def close(self) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    @staticmethod
    def _touches(lost: Box, box: Box, downsample: float) -> bool:
        rows = lost.top < box.bottom * downsample and box.top * downsample < lost.bottom
        return rows and lost.left < box.right * downsample and box.left * downsample < lost.right


def frame_of(slide: ArraySlide, *, stride: int = 4, model_mpp: float = 0.25) -> Frame:
    """The frame of a scan of `slide`."""
    assert slide.mpp is not None
    return plan_frame((slide.levels[0].height, slide.levels[0].width), slide.mpp, model_mpp, stride)
