"""What a scan needs of a slide: its levels, its mpp, and pixels by box; and what else is in its file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from scanner.geometry.arrays import Pixels as Pixels

#: (height, width); False for a pixel that no bytes of the file show, at its level or a finer one.
ReadableMask = npt.NDArray[np.bool_]

#: What lies outside a level, and under transparent pixels: no tissue.
WHITE = 255
#: Channels of a brightfield slide.
RGB = 3


@dataclass(frozen=True)
class Level:
    """One layer of a slide's pyramid.

    Examples
    --------
    >>> from scanner.slides import open_slide
    >>> with open_slide("examples/CMU-1-Small-Region.svs") as slide:
    ...     slide.levels[0]
    Level(height=2967, width=2220, downsample=1.0, stated_mpp=None)
    """

    height: int
    width: int
    #: Level-0 pixels per pixel of this level; an integer wherever the sizes allow one.
    downsample: float
    #: Micrometres per pixel of this level, where the file states them for this very level.
    stated_mpp: float | None = field(default=None, compare=False)


class ImageKind(StrEnum):
    """What an image of a file shows.

    Examples
    --------
    >>> from scanner.slides import ImageKind, describe_file
    >>> images = describe_file("examples/CMU-1-Small-Region.svs").images
    >>> [image.index for image in images if image.kind is ImageKind.IMAGE]
    [0]
    """

    IMAGE = "image"  # tissue: it is scanned
    OVERVIEW = "overview"  # label, macro picture, thumbnail, mask: it is named


@dataclass(frozen=True)
class ImageInfo:
    """One image of a file: a slide's pyramid, or a picture that the scanner keeps beside it.

    Examples
    --------
    >>> from scanner.slides import describe_file
    >>> image = describe_file("examples/CMU-1-Small-Region.svs").images[0]
    >>> image.mpp, image.mpp_source, image.levels[0].height
    (0.499, 'aperio description', 2967)
    """

    #: As `--image` takes it: the place among the file's images, from 0.
    index: int
    #: What the file calls it; empty if it does not.
    name: str
    kind: ImageKind
    #: From full resolution downwards.
    levels: tuple[Level, ...]
    #: Micrometres per pixel of level 0; None if the file states none, or none that can be used.
    mpp: float | None
    #: Where `mpp` comes from, e.g. "ome-xml"; or "assumed", as for a plain field that is silent.
    mpp_source: str
    #: Of a pixel, as the file has it.
    channels: int = RGB
    #: Why the image cannot be scanned as it is, e.g. since its mpp is unusable; empty if it can.
    problem: str = ""


class Slide(Protocol):
    """An open slide. Reading is thread-safe, closing is not.

    Examples
    --------
    >>> from scanner.slides import open_slide
    >>> with open_slide("examples/CMU-1-Small-Region.svs") as slide:
    ...     pixels = slide.read(0, (0, 0, 10, 20))
    >>> pixels.shape, pixels.dtype
    ((10, 20, 3), dtype('uint8'))
    """

    path: Path
    #: From level 0 (full resolution) downwards.
    levels: tuple[Level, ...]
    #: Micrometres per level-0 pixel; None only for a plain field that does not say.
    mpp: float | None
    #: Where `mpp` comes from, e.g. "aperio description"; "assumed" where it is None.
    mpp_source: str
    #: Level-0 (row, col) that viewers show as the slide's top left, as QuPath does: scanners such as MIRAX place what
    #: they scanned within a larger, empty frame. Exports subtract it; nothing else looks at it.
    origin: tuple[int, int] = (0, 0)
    #: Whether the file carries an ICC profile. Pixels are read as they are stored, the profile is not applied.
    has_icc: bool = False
    #: Channels of a pixel. Where there are not three, they are the file's own, in its order, and no colours.
    channels: int = RGB
    #: Bits of a sample in the file, of which pixels have the upper 8.
    sample_bits: int = 8
    #: The image of the file that is open, and all of them.
    image: ImageInfo
    images: tuple[ImageInfo, ...]
    #: What of the file was left out, and why.
    notes: tuple[str, ...] = ()

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        """Pixels of the half-open (top, left, bottom, right) `box` in that level's pixels; white outside the level.

        Raises
        ------
        UnreadableRegionError
            Pixels within the box cannot be decoded, or have no bytes, at this level and all finer ones.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@runtime_checkable
class ReadsMasked(Protocol):
    """A slide whose reader knows, pixel by pixel, what cannot be read."""

    def read_masked(self, level: int, box: tuple[int, int, int, int]) -> tuple[Pixels, ReadableMask | None]:
        """Pixels of `box`, white where they cannot be read, and which can be: None if all."""
        ...


def read_masked(slide: Slide, level: int, box: tuple[int, int, int, int]) -> tuple[Pixels, ReadableMask | None]:
    """Pixels of `box`, white where they cannot be read, and which can be: None if all.

    Raises
    ------
    UnreadableRegionError
        As `Slide.read` does, where the reader does not know one by one.
    """
    return slide.read_masked(level, box) if isinstance(slide, ReadsMasked) else (slide.read(level, box), None)


def levels_from_sizes(sizes: list[tuple[int, int]]) -> tuple[Level, ...]:
    """Levels of those (height, width), each with its downsample."""
    return tuple(Level(height, width, _downsample(sizes[0], (height, width))) for height, width in sizes)


def _downsample(level0: tuple[int, int], level: tuple[int, int]) -> float:
    """Ratio of the two sizes, snapped to the power of two or else the integer that rounds one to the other.

    Writers round odd sizes up or down, so the plain ratio drifts: at the far corner of a large slide by whole pixels.
    """
    ratio = (level0[0] / level[0] + level0[1] / level[1]) / 2
    power = 2 ** round(math.log2(ratio)) if ratio >= 1 else 1
    for candidate in (power, round(ratio)):
        if candidate and all(
            small in (full // candidate, -(-full // candidate)) for full, small in zip(level0, level, strict=True)
        ):
            return float(candidate)
    return ratio
