"""The images of an OME-TIFF: each has the pages that its OME-XML names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tifffile

from scanner.errors import ResolutionError, UnsupportedSlideError
from scanner.slides import describe_file, open_slide
from tests.factories.images import (
    FIRST,
    MPP,
    SECOND,
    TILES,
    Part,
    write_ome,
)
from tests.factories.slides import Pixels, pyramid
from tests.slides.metadata.test_images import assert_shows


def ome_with(path: Path, xml: str, pages: list[Pixels], options: dict[str, Any] | None = None) -> None:
    """A TIFF of those pages with an OME-XML that nothing checks."""
    head = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    with tifffile.TiffWriter(path) as writer:
        for index, page in enumerate(pages):
            writer.write(page, description=f"{head}{xml}</OME>" if index == 0 else None, **TILES | (options or {}))


def image_xml(pixels: Pixels, data: str, *, mpp: float = MPP, **sizes: int) -> str:
    said = "".join(f' {key}="{value}"' for key, value in sizes.items())
    height, width = pixels.shape[:2]
    return (
        f'<Image><Pixels SizeX="{width}" SizeY="{height}" SizeC="3" PhysicalSizeX="{mpp}" PhysicalSizeY="{mpp}"{said}>'
        f"{data}</Pixels></Image>"
    )


@pytest.mark.parametrize("data", ["", "<TiffData/>", '<TiffData IFD="{0}"/>', '<TiffData IFD="{0}" PlaneCount="1"/>'])
def test_images_find_their_pages_however_the_xml_says_it(tmp_path: Path, data: str) -> None:
    xml = image_xml(FIRST, data.format(0)) + image_xml(SECOND, data.format(1))
    ome_with(tmp_path / "a.ome.tif", xml, [FIRST, SECOND])
    assert_shows(tmp_path / "a.ome.tif", [FIRST])
    assert_shows(tmp_path / "a.ome.tif", [SECOND], image=1)


def test_images_may_name_their_pages_in_another_order(tmp_path: Path) -> None:
    xml = image_xml(SECOND, '<TiffData IFD="1"/>') + image_xml(FIRST, '<TiffData IFD="0"/>')
    ome_with(tmp_path / "a.ome.tif", xml, [FIRST, SECOND])
    assert_shows(tmp_path / "a.ome.tif", [SECOND])
    assert_shows(tmp_path / "a.ome.tif", [FIRST], image=1)


def test_reduced_pages_of_the_chain_are_levels_of_an_only_image(tmp_path: Path) -> None:
    ome_with(tmp_path / "a.ome.tif", image_xml(FIRST, '<TiffData IFD="0"/>'), pyramid(FIRST, 3))
    assert_shows(tmp_path / "a.ome.tif", pyramid(FIRST, 3))


def test_a_page_that_no_image_names_is_left_out_and_said(tmp_path: Path) -> None:
    ome_with(tmp_path / "a.ome.tif", image_xml(FIRST, '<TiffData IFD="0"/>'), [FIRST, SECOND])
    assert_shows(tmp_path / "a.ome.tif", [FIRST])
    assert describe_file(tmp_path / "a.ome.tif").notes == (
        "the TIFF page of 192 x 128 px is left out: no Image of the OME-XML names it",
    )


def test_one_image_that_cannot_be_scanned_hinders_no_other(tmp_path: Path) -> None:
    stack = image_xml(SECOND, '<TiffData IFD="1"/>', SizeZ=2)
    ome_with(tmp_path / "a.ome.tif", image_xml(FIRST, '<TiffData IFD="0"/>') + stack, [FIRST, SECOND, SECOND])
    assert_shows(tmp_path / "a.ome.tif", [FIRST])
    assert "SizeZ = 2" in describe_file(tmp_path / "a.ome.tif").images[1].problem
    with pytest.raises(UnsupportedSlideError, match="SizeZ = 2"):
        open_slide(tmp_path / "a.ome.tif", image=1)


def test_an_image_whose_pages_lie_elsewhere_is_named(tmp_path: Path) -> None:
    ome_with(tmp_path / "a.ome.tif", image_xml(FIRST, '<TiffData IFD="0"/>') + image_xml(SECOND, ""), [FIRST])
    assert_shows(tmp_path / "a.ome.tif", [FIRST])
    with pytest.raises(UnsupportedSlideError, match=r"the pages that its OME-XML names are not in this file"):
        open_slide(tmp_path / "a.ome.tif", image=1)


def test_the_mpp_of_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    ome_with(tmp_path / "a.ome.tif", image_xml(FIRST, '<TiffData IFD="0"/>'), [SECOND])
    with pytest.raises(
        ResolutionError, match=r"0\.5 um .*of an image of 384 x 256 px, but its TIFF page has 192 x 128"
    ):
        open_slide(tmp_path / "a.ome.tif")
    write_ome(tmp_path / "b.ome.tif", [Part(FIRST)])
    assert_shows(tmp_path / "b.ome.tif", [FIRST])
