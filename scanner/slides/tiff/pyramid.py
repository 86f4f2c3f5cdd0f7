"""The pages of a TIFF: of its main chain and of SubIFDs, and whether one can be a reduction of another."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from tifffile import FILETYPE, TiffFile, TiffFrame, TiffPage

from scanner.errors import DamagedSlideError, UnsupportedSlideError
from scanner.slides.metadata.levels import StoredLevel, why_no_reduction
from scanner.slides.metadata.overviews import is_overview_name
from scanner.slides.tiff.metadata import description_of, is_aperio, stated_by_tags
from scanner.slides.tiff.page import COMPRESSIONS

#: A file with more pages is a stack, or loops.
MAX_PAGES = 256
#: The way out where the end of a file is missing.
COPY = "copy it again"
#: A description of one line, and no longer, is a page's name.
_MAX_NAME = 80
_PAGE_NAME = 285


def pages_of(tiff: TiffFile, path: Path) -> list[TiffPage]:
    """Pages of the main chain.

    Raises
    ------
    DamagedSlideError
        The chain loops, ends within a page, or is empty.
    UnsupportedSlideError
        It has more than MAX_PAGES.
    """
    pages: list[TiffPage] = []
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
        if isinstance(page, TiffPage):
            pages.append(page)
    if not pages:
        raise DamagedSlideError(f"{path}: holds no TIFF page")
    return pages


def has_known_compressions(path: Path) -> bool:
    """Whether `page` decodes the tiled pages of a TIFF, which are its levels; True if the file is damaged."""
    with suppress(Exception), TiffFile(path) as tiff:  # What is wrong with it is reported where it is opened.
        return all(page.compression in COMPRESSIONS for page in pages_of(tiff, path) if page.is_tiled)
    return True


def sub_pages(page: TiffPage, path: Path) -> list[TiffPage]:
    """Pages of a page's SubIFDs."""
    if len(page.subifds or ()) > MAX_PAGES:
        raise DamagedSlideError(f"{path}: more than {MAX_PAGES} SubIFDs")
    return [sub for sub in page.pages or () if isinstance(sub, TiffPage)]


def check_begin(path: Path) -> None:
    """Raise DamagedSlideError if the file ends before its first page, whose place its first bytes say."""
    with path.open("rb") as file:
        head = file.read(16)
        size = file.seek(0, os.SEEK_END)
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    form, start = (f"{order}Q", 8) if is_big else (f"{order}I", 4)
    if len(head) < start + struct.calcsize(form):
        raise DamagedSlideError(f"{path}: the file is cut off at byte {size}, within its first bytes; {COPY}")
    (offset,) = struct.unpack_from(form, head, start)
    if offset >= size:
        raise DamagedSlideError(
            f"{path}: the file is cut off at byte {size}: its first page begins at {offset}; {COPY}"
        )


def _check_end(tiff: TiffFile, last: TiffPage | TiffFrame, path: Path) -> None:
    """Raise DamagedSlideError if the last page that tifffile finds says that another one follows."""
    layout, file = tiff.tiff, tiff.filehandle
    file.seek(last.offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(last.offset + layout.tagnosize + tags * layout.tagsize)
    (offset,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    if offset:
        raise DamagedSlideError(f"{path}: the file is cut off at byte {file.size}: a page begins at {offset}; {COPY}")


def size_of(page: TiffPage) -> tuple[int, int]:
    """(height, width)."""
    return page.imagelength, page.imagewidth


def area_of(page: TiffPage) -> int:
    """Pixels of a page."""
    return int(page.imagelength * page.imagewidth)


def name_of(page: TiffPage) -> str:
    """What a page is called: by the second line of Aperio's description, by its PageName, or by a short description."""
    text = description_of(page).strip()
    if is_aperio(page):
        word = (text.splitlines()[1:] or [""])[0].split(" ")[0]
        # Aperio keeps a thumbnail behind the first page, in strips, and says nothing of it.
        return word if word.isalpha() else "thumbnail" if page.index == 1 and not page.is_tiled else ""
    if name := str(page.tags.valueof(_PAGE_NAME) or "").strip():
        return name
    is_name = len(text) <= _MAX_NAME and "\n" not in text and not text.startswith(("{", "<", "ImageJ="))
    return text if is_name else ""


def is_alike(page: TiffPage, level0: TiffPage) -> bool:
    """Whether two pages hold samples of one kind in one layout: thumbnails are strips where the slide is tiled."""
    return bool(
        page.is_tiled == level0.is_tiled
        and page.samplesperpixel == level0.samplesperpixel
        and page.dtype == level0.dtype
        and page.imagedepth == 1
    )


def is_marked_overview(page: TiffPage, beside: TiffPage | None = None) -> bool:
    """Whether a page is flagged as a macro picture or mask, or called so in difference to the page `beside` it."""
    name = name_of(page)
    is_called = is_overview_name(name) and (beside is None or name != name_of(beside))
    return is_called or bool(page.subfiletype & (FILETYPE.MASK | FILETYPE.MACRO))


def stored_level(page: TiffPage) -> StoredLevel:
    """A page as what may be a level; one in strips is not filled up."""
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else (1, 1)
    return StoredLevel(size_of(page), tile, stated_by_tags(page))


def why_no_level(page: TiffPage, level0: TiffPage) -> str | None:
    """What speaks against a page as a level of another; None if nothing does."""
    if is_marked_overview(page, level0):
        return f"it is called {name_of(page)!r}, with a NewSubfileType of {int(page.subfiletype)}"
    if not is_alike(page, level0):
        return "its pixels or its layout are of another kind"
    return why_no_reduction(stored_level(page), stored_level(level0))
