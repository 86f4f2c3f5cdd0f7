"""The Images of an OME-XML: what they are called, and which pages of the TIFF are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from tifffile import TiffPage

from scanner.slides.metadata.ome_xml import parse_ome
from scanner.slides.tiff.metadata import description_of


@dataclass(frozen=True)
class OmeImage:
    """One Image of an OME-XML."""

    #: Its place among the Images.
    index: int
    name: str
    pixels: ElementTree.Element
    #: Of full size: one, or one for each channel, focus and time; fewer where others lie in another file.
    pages: list[TiffPage]
    #: What the XML says that the file does not hold; empty if it holds all.
    problem: str = ""

    @property
    def stated_size(self) -> tuple[int, int] | None:
        """(height, width) by the XML; None if it has none."""
        width, height = _number(self.pixels.get("SizeX"), 0), _number(self.pixels.get("SizeY"), 0)
        return (height, width) if width > 0 and height > 0 else None


def ome_images(first: TiffPage, pages: Sequence[TiffPage]) -> list[OmeImage]:
    """Images of the OME-XML in the first page, each with its own pages; none if there is no OME-XML.

    Parameters
    ----------
    first : TiffPage
        Holds the XML.
    pages : sequence of TiffPage
        The main chain, as IFD counts it.
    """
    root = parse_ome(description_of(first))
    if root is None:
        return []
    images: list[OmeImage] = []
    free = 0
    for index, image in enumerate(root.findall("{*}Image")):
        pixels = image.find("{*}Pixels")
        if pixels is None:
            continue
        wanted = _pages_of(pixels, free, samples=first.samplesperpixel, uuid=root.get("UUID", ""))
        there = [pages[ifd] for ifd in wanted if 0 <= ifd < len(pages)]
        problem = "" if there and len(there) == len(wanted) else "the pages that its OME-XML names are not in this file"
        images.append(OmeImage(index, image.get("Name", ""), pixels, there, problem))
        free = max([free, *(ifd + 1 for ifd in wanted)])
    return images


def _pages_of(pixels: ElementTree.Element, free: int, *, samples: int, uuid: str) -> list[int]:
    """Indices of an Image's pages, of full size; those of other files are -1."""
    sizes = [_number(pixels.get(f"Size{axis}"), 1) for axis in "CZT"]
    planes = max(1, sizes[0] // max(1, samples)) * max(1, sizes[1]) * max(1, sizes[2])
    wanted: list[int] = []
    for data in pixels.findall("{*}TiffData"):
        # Without IFD, the planes follow those of the image before.
        start = _number(data.get("IFD"), free)
        count = _number(data.get("PlaneCount"), planes if data.get("IFD") is None else 1)
        other = data.find("{*}UUID")
        is_elsewhere = uuid and other is not None and (other.text or uuid).strip() != uuid
        wanted += [-1 if is_elsewhere else start + plane for plane in range(min(count, planes))]
    wanted = wanted or [free + plane for plane in range(planes)]
    return list(dict.fromkeys(wanted))[:planes]


def _number(text: str | None, default: int) -> int:
    try:
        return int(text) if text is not None else default
    except ValueError:
        return default
