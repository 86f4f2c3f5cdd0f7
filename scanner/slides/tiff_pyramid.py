"""Which pages of a TIFF are the levels of its slide, and which are label, macro picture, thumbnail or mask."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from tifffile import FILETYPE, TiffFile, TiffFrame, TiffPage

from scanner.errors import DamagedSlideError, UnsupportedSlideError

#: A file with more pages is a stack, or loops.
MAX_PAGES = 256
#: The way out where the end of a file is missing.
COPY = "copy it again"


def find_levels(tiff: TiffFile, path: Path) -> list[TiffPage]:
    """The pages of the slide's levels, from full resolution downwards.

    Raises
    ------
    UnsupportedSlideError
        Several pages are of full size: a focus stack, a time series or separate colour channels.
    """
    levels = find_stacks(tiff, path)
    if len(levels[0]) > 1:
        raise UnsupportedSlideError(f"{path}: several pages of full size (a stack, or separate channels)")
    return [page for (page,) in levels]


def find_stacks(tiff: TiffFile, path: Path) -> list[list[TiffPage]]:
    """The pages of each of the slide's levels, from full resolution downwards: one, or one for each channel.

    Level 0 is the largest page, with those of its size. Further pages are a level if they show the same picture
    smaller: as many, the same kind of samples, the same layout (tiles or strips: thumbnails are strips) and the same
    proportions to within the pixel that rounding may cost. Pages come from the main chain and, as in OME-TIFF, from
    the SubIFDs of level 0.
    """
    pages = list(_pages(tiff, path))
    largest = max(pages, key=_area)
    level0 = [page for page in pages if _is_alike(page, largest) and _size(page) == _size(largest)]
    smaller = [page for page in pages if _is_alike(page, largest) and _size(page) != _size(largest)]
    smaller += [page for page in _sub_pages(level0, path) if _is_alike(page, largest)]
    levels = [level0]
    for size in sorted({_size(page) for page in smaller}, key=lambda size: -size[0] * size[1]):
        stack = [page for page in smaller if _size(page) == size][: len(level0)]
        if len(stack) == len(level0) and _is_reduction(stack[0], largest) and size[1] < levels[-1][0].imagewidth:
            levels.append(stack)
    return levels


def _size(page: TiffPage) -> tuple[int, int]:
    return page.imagelength, page.imagewidth


def _area(page: TiffPage) -> int:
    return int(page.imagelength * page.imagewidth)


def _pages(tiff: TiffFile, path: Path) -> Iterator[TiffPage]:
    """Pages of the main chain that hold a picture."""
    seen: set[int] = set()
    for index in range(MAX_PAGES + 1):
        try:
            page = tiff.pages[index]
        except IndexError:
            _check_end(tiff, tiff.pages[-1], path)
            break
        if page.offset in seen:
            raise DamagedSlideError(f"{path}: the chain of TIFF pages loops")
        if index == MAX_PAGES:
            raise UnsupportedSlideError(f"{path}: more than {MAX_PAGES} TIFF pages")
        seen.add(page.offset)
        if isinstance(page, TiffPage) and not page.subfiletype & FILETYPE.MASK:
            yield page
    if not seen:
        raise DamagedSlideError(f"{path}: holds no TIFF page")


def _check_end(tiff: TiffFile, last: TiffPage | TiffFrame, path: Path) -> None:
    """Raise DamagedSlideError if the last page that tifffile finds says that another one follows."""
    layout, file = tiff.tiff, tiff.filehandle
    file.seek(last.offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(last.offset + layout.tagnosize + tags * layout.tagsize)
    (offset,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    if offset:
        raise DamagedSlideError(f"{path}: the file is cut off at byte {file.size}: a page begins at {offset}; {COPY}")


def _sub_pages(level0: list[TiffPage], path: Path) -> list[TiffPage]:
    if sum(len(page.subifds or ()) for page in level0) > MAX_PAGES:
        raise DamagedSlideError(f"{path}: more than {MAX_PAGES} SubIFDs")
    return [sub for page in level0 for sub in page.pages or () if isinstance(sub, TiffPage)]


def _is_alike(page: TiffPage, level0: TiffPage) -> bool:
    return bool(
        page.is_tiled == level0.is_tiled
        and page.samplesperpixel == level0.samplesperpixel
        and page.dtype == level0.dtype
        and page.imagedepth == 1
    )


def _is_reduction(page: TiffPage, level0: TiffPage) -> bool:
    """Whether one downsample explains both sides, each rounded up or down."""
    if not (page.imagelength and page.imagewidth):
        return False
    row_range = _downsamples(level0.imagelength, page.imagelength)
    col_range = _downsamples(level0.imagewidth, page.imagewidth)
    return max(row_range[0], col_range[0], 1.0) <= min(row_range[1], col_range[1])


def _downsamples(full: int, reduced: int) -> tuple[float, float]:
    return full / (reduced + 1), full / (reduced - 1) if reduced > 1 else float("inf")
