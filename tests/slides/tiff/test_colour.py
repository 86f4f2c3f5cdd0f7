"""Colours by what a TIFF states: palettes, bits in a sample, one page for each colour; nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from scanner import scan
from scanner.errors import UnsupportedSlideError
from scanner.slides import open_slide
from tests.factories.slides import Pixels, pyramid, texture
from tests.networks.small_models import random_model

RGB = texture(200, 190)
GREY = RGB[:, :, 0]
COLOURS = {"Red": -16776961, "Green": 16711935, "Blue": 65535}


def read(path: Path, level: int = 0) -> Pixels:
    with open_slide(path, 0.25) as slide:
        return slide.read(level, (0, 0, slide.levels[level].height, slide.levels[level].width))


def write(path: Path, array: npt.NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, array, **{"metadata": None, **options})
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32), "compression": "zlib"}])
def test_a_palette_of_either_depth_has_its_colours(tmp_path: Path, bits: int, layout: dict[str, Any]) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16) * (257 if bits == 16 else 1)
    path = write(tmp_path / "a.tif", GREY, photometric="palette", colormap=palette, **layout)
    np.testing.assert_array_equal(read(path), (palette >> (bits - 8)).T[GREY])


@pytest.mark.parametrize(("photometric", "white"), [("minisblack", 1), ("miniswhite", 0)])
def test_one_bit_is_black_and_white(tmp_path: Path, photometric: str, white: int) -> None:
    values = GREY > 180
    path = write(tmp_path / "a.tif", values, photometric=photometric)
    np.testing.assert_array_equal(read(path), np.repeat(np.where(values == white, 255, 0)[:, :, None], 3, axis=2))


def ome_xml(channels: str, *, sizes: str = 'SizeC="3"', more: str = "") -> str:
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" SizeX="190" SizeY="200" {sizes} SizeZ="1" SizeT="1" {more}>'
        f'{channels}<TiffData IFD="0" PlaneCount="3"/></Pixels></Image></OME>'
    )


@pytest.mark.parametrize("statement", ["ome", "tag"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_a_sample_are_read_where_they_are_stated(tmp_path: Path, bits: int, statement: str) -> None:
    values = RGB.astype(np.uint16) << (bits - 8)
    if statement == "ome":
        channel = '<Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
        options: dict[str, Any] = {"description": ome_xml(channel, more=f'SignificantBits="{bits}"')}
    else:
        options = {"extratags": [(281, 3, 3, (2**bits - 1,) * 3, True)]}
    np.testing.assert_array_equal(read(write(tmp_path / "a.tif", values, photometric="rgb", **options)), RGB)


@pytest.mark.parametrize("bits", [10, 12, 14, 15])
def test_fewer_bits_that_nobody_states_are_not_scanned_and_the_way_out_is_named(tmp_path: Path, bits: int) -> None:
    path = write(tmp_path / "a.tif", RGB.astype(np.uint16) << (bits - 8), photometric="rgb")
    with pytest.raises(UnsupportedSlideError, match=r"a\.tif: its 16-bit values .* SignificantBits.*--any-stain"):
        scan(path, random_model(), mpp=0.25)
    assert scan(path, random_model(), mpp=0.25, any_stain=True).report["mpp"] == 0.25
    full = write(tmp_path / "b.tif", RGB.astype(np.uint16) << 8, photometric="rgb")
    assert scan(full, random_model(), mpp=0.25).report["mpp"] == 0.25


def write_planes(path: Path, order: str, *, statement: str, levels: int = 1) -> None:
    """A page for each colour, in that order, and what says which is which."""
    names = {name[0].lower(): name for name in COLOURS}
    channels = "".join(
        {
            "names": f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1" Name="{names[letter]}"/>',
            "letters": f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1" Name="{letter.upper()}"/>',
            "colours": f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1" Color="{COLOURS[names[letter]]}"/>',
            "stains": f'<Channel ID="Channel:0:{i}" Name="stain {i}" Color="{COLOURS[names[letter]]}"/>',
            "nothing": f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1"/>',
        }.get(statement, "")
        for i, letter in enumerate(order)
    )
    options: dict[str, Any] = {"photometric": "minisblack", "tile": (64, 64), "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for i, letter in enumerate(order):
            planes = [level[:, :, "rgb".index(letter)] for level in pyramid(RGB, levels)]
            described: dict[str, Any] = {"description": ome_xml(channels)} if channels and i == 0 else {}
            if statement == "page names":
                described["extratags"] = [(285, 2, 0, names[letter], True)]
            writer.write(planes[0], subifds=levels - 1, **described, **options)
            for plane in planes[1:]:
                writer.write(plane, subfiletype=1, **options)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("order", ["rgb", "bgr", "gbr"])
@pytest.mark.parametrize("statement", ["names", "letters", "colours", "page names"])
def test_a_page_for_each_colour_is_read_as_the_file_names_them(
    tmp_path: Path, statement: str, order: str, levels: int
) -> None:
    write_planes(tmp_path / "a.tif", order, statement=statement, levels=levels)
    for level, expected in enumerate(pyramid(RGB, levels)):
        np.testing.assert_array_equal(read(tmp_path / "a.tif", level), expected)


@pytest.mark.parametrize("statement", ["nothing", "stains", "none at all"])
def test_three_pages_that_nobody_names_are_refused_with_the_way_out(tmp_path: Path, statement: str) -> None:
    write_planes(tmp_path / "a.tif", "rgb", statement=statement)
    with pytest.raises(UnsupportedSlideError, match=r"a\.tif: .*red, green and blue.*one page of RGB.*--any-stain"):
        open_slide(tmp_path / "a.tif", 0.25)
    assert scan(tmp_path / "a.tif", random_model(), mpp=0.25, any_stain=True).report["mpp"] == 0.25


def test_planes_of_one_page_are_its_colours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", tile=(64, 64))
    np.testing.assert_array_equal(read(path), RGB)


def test_a_fourth_sample_that_nobody_explains_is_opacity_where_it_can_be(tmp_path: Path) -> None:
    """As libtiff and OpenSlide have it; where it cannot be, colours stay what they are."""
    alpha = np.full((*GREY.shape, 1), 255, np.uint8)
    rgba = np.concatenate([RGB, alpha], axis=2)
    rgba[:50] = 0
    rgba[50:60, :, 3] = 0
    path = write(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unspecified"])
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.tags["ExtraSamples"].offset
    content[place : place + 2] = (65_000).to_bytes(2, "little")
    path.write_bytes(bytes(content))
    expected = RGB.copy()
    expected[:50] = 255
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (np.dstack([RGB, GREY]), {"photometric": "separated"}, "CMYK"),
        (RGB, {"photometric": "cielab"}, "CIELAB"),
        (RGB.astype(np.float32), {"photometric": "rgb"}, "RGB, 32-bit float32"),
        (GREY.astype(np.uint32), {"photometric": "minisblack"}, "grey, 32-bit uint32"),
    ],
)
def test_other_kinds_of_pixels_are_refused_in_words(
    tmp_path: Path, array: npt.NDArray[Any], options: dict[str, Any], said: str
) -> None:
    path = write(tmp_path / "a.tif", array, **options)
    with pytest.raises(UnsupportedSlideError, match=rf"a\.tif: .* are {said}.*; write it as RGB of 8 bits") as caught:
        open_slide(path, 0.25)
    assert "<" not in str(caught.value)
