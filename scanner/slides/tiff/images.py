"""Which images a TIFF holds: by its OME-XML, or else by its chain of pages; each with the pages of its levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tifffile import FILETYPE, TiffFile, TiffPage

from scanner.slides.metadata.overviews import is_overview_name
from scanner.slides.pixels.protocol import ImageKind
from scanner.slides.tiff.likeness import likeness
from scanner.slides.tiff.metadata import is_aperio
from scanner.slides.tiff.ome import OmeImage, ome_images
from scanner.slides.tiff.pyramid import (
    area_of,
    is_alike,
    is_marked_overview,
    name_of,
    pages_of,
    size_of,
    sub_pages,
    why_no_level,
)

#: Below this two pages show different pictures; the same one, reduced by whatever filter, has above 0.8.
SAME_PICTURE = 0.5

#: The pages of a level: one, or one for each channel.
Stack = list[TiffPage]


@dataclass
class TiffImage:
    """One image of a TIFF, as its levels are found."""

    name: str
    kind: ImageKind
    #: The pages of each level, from full resolution downwards; empty where they lie in another file.
    levels: list[Stack]
    #: What the OME-XML says of it, if there is one.
    ome: OmeImage | None = None
    #: Whether its levels lie in SubIFDs: then none lies in the chain.
    has_sub_levels: bool = False
    #: What was taken for none of its levels, and why.
    notes: list[str] = field(default_factory=list)

    @property
    def page(self) -> TiffPage:
        """The first page of level 0."""
        return self.levels[0][0]

    def why_not(self, page: TiffPage) -> str | None:
        """What speaks against a page as one of its levels; None if nothing does."""
        if any(size_of(stack[0]) == size_of(page) for stack in self.levels):
            return "there is a level of that size"
        return why_no_level(page, self.page)

    def add(self, stack: Stack) -> None:
        """Take a level in, at its place."""
        self.levels = sorted([*self.levels, stack], key=lambda pages: -area_of(pages[0]))

    def take_sub_levels(self, path: Path) -> None:
        """Take the levels in SubIFDs in."""
        subs = [sub_pages(page, path) for page in self.levels[0]]
        for stack in zip(*subs, strict=False):
            if (reason := self.why_not(stack[0])) is None:
                self.add(list(stack))
                self.has_sub_levels = True
            else:
                self.notes.append(f"the SubIFD of {_size(stack[0])} is left out: {reason}")


def find_images(tiff: TiffFile, path: Path) -> tuple[list[TiffImage], list[str]]:
    """The images of a TIFF in its order, and what of it is in none, and why.

    With OME-XML they are its Images, each with the pages and SubIFDs that are its own. Else a page of the chain is a
    level of a larger one if nothing speaks against it (flags, name, layout, proportions, its own resolution) and
    something for it: that it is flagged as reduced, or Aperio's, or that it shows the same picture. What is no level
    is an image of its own.
    """
    pages = pages_of(tiff, path)
    described = ome_images(pages[0], pages)
    if described:
        images = [_from_ome(one, path) for one in described]
        claimed = {page.offset for one in described for page in one.pages}
        notes = _place_unclaimed(images, [page for page in pages if page.offset not in claimed])
    else:
        images, notes = _from_chain(pages, path)
    return images, [note for image in images for note in image.notes] + notes


def _from_ome(described: OmeImage, path: Path) -> TiffImage:
    kind = ImageKind.OVERVIEW if is_overview_name(described.name) else ImageKind.IMAGE
    image = TiffImage(described.name, kind, [described.pages] if described.pages else [], described)
    if described.pages:
        image.take_sub_levels(path)
    return image


def _place_unclaimed(images: list[TiffImage], pages: Sequence[TiffPage]) -> list[str]:
    """Pages that no Image of the OME-XML names: levels of the only one there is, if they fit; else notes."""
    notes = []
    is_open = len(images) == 1 and bool(images[0].levels) and not images[0].has_sub_levels
    for page in sorted(pages, key=lambda page: -area_of(page)):
        if is_open and _owner(page, images) is not None:
            images[0].add([page])
        else:
            notes.append(f"the TIFF page of {_size(page)} is left out: no Image of the OME-XML names it")
    return notes


def _from_chain(pages: Sequence[TiffPage], path: Path) -> tuple[list[TiffImage], list[str]]:
    """Images of pages that nobody describes; the largest one that is not flagged is level 0 of the first found."""
    largest = max(pages, key=lambda page: (not _is_flagged(page), area_of(page)))
    full_size = [page for page in pages if page is largest or _repeats(page, largest)]
    images = [TiffImage(name_of(largest), ImageKind.IMAGE, [full_size])]
    images[0].take_sub_levels(path)
    rest = sorted((page for page in pages if page not in full_size), key=lambda page: -area_of(page))
    notes: list[str] = []
    if len(full_size) > 1:
        rest = _place_stacks(images[0], rest)
    for page in rest:
        notes += _place(page, images, path)
    return sorted(images, key=lambda image: pages.index(image.page)), notes


def _place_stacks(image: TiffImage, pages: Sequence[TiffPage]) -> list[TiffPage]:
    """Take in levels of as many pages as level 0 has, a channel each; returns the pages left over."""
    needed, taken = len(image.levels[0]), set[int]()
    for size in dict.fromkeys(map(size_of, pages)):
        stack = [page for page in pages if size_of(page) == size and is_alike(page, image.page)]
        if len(stack) >= needed and _owner(stack[0], [image]) is not None:
            image.add(stack[:needed])
            taken |= {page.offset for page in stack[:needed]}
    return [page for page in pages if page.offset not in taken]


def _place(page: TiffPage, images: list[TiffImage], path: Path) -> list[str]:
    """Make a page a level or an image; returns a note if it is neither."""
    is_overview = is_marked_overview(page, images[0].page) or not is_alike(page, images[0].page)
    if not is_overview and not page.subfiletype & FILETYPE.PAGE:
        if (owner := _owner(page, images)) is not None:
            owner.add([page])
            return []
        if page.subfiletype & FILETYPE.REDUCEDIMAGE:
            return [f"the TIFF page of {_size(page)}, flagged as a level, is left out: {_reasons(page, images)}"]
    image = TiffImage(name_of(page), ImageKind.OVERVIEW if is_overview else ImageKind.IMAGE, [[page]])
    images.append(image)
    if not is_overview:
        image.take_sub_levels(path)
    return []


def _owner(page: TiffPage, images: Sequence[TiffImage]) -> TiffImage | None:
    """The image of which a page is a level; None if it is of none."""
    fitting = [
        image
        for image in images
        if image.kind is ImageKind.IMAGE and not image.has_sub_levels and image.why_not(page) is None
    ]
    is_stated = bool(page.subfiletype & FILETYPE.REDUCEDIMAGE) or is_aperio(page)
    if is_stated and len(fitting) == 1:
        return fitting[0]
    scores = [likeness(page, image.levels[-1][0]) or 0.0 for image in fitting]
    best = max(range(len(scores)), key=scores.__getitem__, default=None)
    return None if best is None or scores[best] < SAME_PICTURE else fitting[best]


def _reasons(page: TiffPage, images: Sequence[TiffImage]) -> str:
    pyramids = [image for image in images if image.kind is ImageKind.IMAGE]
    reasons = ["the levels lie in SubIFDs" if image.has_sub_levels else image.why_not(page) for image in pyramids]
    return "; ".join(dict.fromkeys(reason or "it shows another picture" for reason in reasons))


def _repeats(page: TiffPage, largest: TiffPage) -> bool:
    return not _is_flagged(page) and is_alike(page, largest) and size_of(page) == size_of(largest)


def _is_flagged(page: TiffPage) -> bool:
    return bool(page.subfiletype & FILETYPE.REDUCEDIMAGE) or is_marked_overview(page)


def _size(page: TiffPage) -> str:
    return f"{page.imagewidth} x {page.imagelength} px"
