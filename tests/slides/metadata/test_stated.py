"""mpp as files state it: formats, spellings of units, decimals, one level and several; unusable is never silent."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from scanner.errors import ResolutionError
from scanner.slides import open_slide
from scanner.slides.metadata.units import um_per_unit
from scanner.slides.tiff.metadata import decode_description
from tests.factories.slides import pyramid, texture
from tests.factories.zarr import write_ome_zarr

ARRAYS = pyramid(texture(96, 80), 2)


#: Writes one level or two, with a number and a unit in the way of a format.
Writer = Callable[[Path, int, str, str], None]


def write_tiff(path: Path, levels: int, description: bytes, **options: Any) -> None:
    """A TIFF with these very bytes as its description, which tifffile would not write."""
    place = b"#" * max(len(description), 5)
    with tifffile.TiffWriter(path) as writer:
        for index, array in enumerate(ARRAYS[:levels]):
            described = {"description": place.decode(), **options} if index == 0 else {"subfiletype": 1}
            writer.write(array, photometric="rgb", tile=(32, 32), metadata=None, **described)
    path.write_bytes(path.read_bytes().replace(place, description.ljust(len(place), b"\0")))


def aperio(path: Path, levels: int, number: str, unit: str) -> None:
    said = f"Aperio Image Library v12.0.0\r\n80x96 [0,0 80x96]|AppMag = 40|MPP = {number} {unit}|Left = 25.6"
    write_tiff(path, levels, said.encode())


def ome(path: Path, levels: int, number: str, unit: str) -> None:
    write_tiff(path, levels, ome_xml(number, unit).encode())


def ome_xml(number: str, unit: str, *, more: str = "") -> str:
    unit = unit.replace('"', "&quot;")
    size = f'PhysicalSizeX="{number}" PhysicalSizeY="{number}" PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="{more}"><Pixels ID="Pixels:0" SizeX="80" SizeY="96" SizeC="3" {size}/></Image>'
        "</OME>"
    )


def imagej(path: Path, levels: int, number: str, unit: str) -> None:
    density = 1 / float(number.replace(",", "."))
    write_tiff(path, levels, f"ImageJ=1.54f\nunit={unit}\nloop=false\n".encode(), resolution=(density, density))


def zarr(path: Path, levels: int, number: str, unit: str) -> None:
    write_ome_zarr(path, ARRAYS[:levels], mpp=float(number.replace(",", ".")), unit=unit)


FORMATS: dict[str, Writer] = {"aperio": aperio, "ome": ome, "imagej": imagej, "zarr": zarr}


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("unit", ["um", "µm", "μm", "\\u00B5m", "micron", "micrometer", "nm", "mm", "cm", "inch"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_stated_is_read(tmp_path: Path, form: str, unit: str, decimal: str, levels: int) -> None:
    um = um_per_unit(unit)
    assert um is not None
    path = tmp_path / "slide"
    FORMATS[form](path, levels, f"{0.499 / um:.12f}".replace(".", decimal), unit)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.499, rel=1e-5)
        assert slide.mpp_source != "assumed"


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    ("number", "unit", "said"),
    [
        ("16430", "um", "16430 um/px"),
        ("0.001", "um", "0.001 um/px"),
        ("0.25", "furlong", "'furlong', which is unknown"),
        ("-0.25", "um", "is negative|-0.25 um/px"),
        ("250", "µm", "250 um/px"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_what_cannot_be_used_is_refused_by_its_value(
    tmp_path: Path, form: str, number: str, unit: str, said: str, levels: int
) -> None:
    if form == "imagej" and number.startswith("-"):
        pytest.skip("TIFF's rationals have no sign")
    path = tmp_path / "slide"
    FORMATS[form](path, levels, number, unit)
    with pytest.raises(ResolutionError, match=rf"slide: .*({said}).*--mpp"):
        open_slide(path)
    with open_slide(path, 0.3) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.3, "override")


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("form", ["aperio", "ome"])
@pytest.mark.parametrize("number", ["0", "0,0", "nan", "x", "1.2.3"])
def test_what_is_no_size_is_refused_as_the_file_has_it(tmp_path: Path, form: str, number: str, levels: int) -> None:
    FORMATS[form](tmp_path / "slide", levels, number, "um")
    with pytest.raises(ResolutionError, match=rf"slide: .* = {number} um.*--mpp"):
        open_slide(tmp_path / "slide")


@pytest.mark.parametrize("form", ["ome", "imagej", "zarr"])
def test_a_field_measured_in_pixels_is_silent(tmp_path: Path, form: str) -> None:
    FORMATS[form](tmp_path / "field", 1, "1.0", "pixel")
    with open_slide(tmp_path / "field") as slide:
        assert (slide.mpp, slide.mpp_source) == (None, "assumed")


def test_an_overview_of_16_um_is_no_silent_field(tmp_path: Path) -> None:
    ome(tmp_path / "field", 1, "16.43", "µm")
    with open_slide(tmp_path / "field") as slide:
        assert (slide.mpp, slide.mpp_source) == (pytest.approx(16.43), "ome-xml")


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    "description",
    [
        b"Aperio Image Library|MPP = 0.4990|Title = \xb0\x81\x9d\xc4",
        b"Aperio \xff\xfe|MPP = 0.4990",
        b"Aperio|MPP = 0.4990\0garbage \xff",
        b"Aperio|Title = a\0|MPP = 0.4990",
        b"Aperio|MPP = 0.4990|mpp = 0,499|MPP = 0.499 \xb5m",
        b"Aperio|MPP=0.4990\r\n",
        ome_xml("0.499", "um", more="@").encode().replace(b"@", b"\xe4"),
        ome_xml("0.499", "@m").encode().replace(b"@", b"\xb5"),
        ome_xml("0.499", "µm", more="@").encode().replace(b"@", b"\x01"),
        ome_xml("0.499", "um").encode() + b"\0\0trailing garbage <x",
        b"\xef\xbb\xbf" + ome_xml("0.499", "um").encode(),
        ome_xml("0.499", "um").replace("<OME xmlns", "<ome:OME xmlns:ome").replace("</OME", "</ome:OME").encode(),
    ],
)
def test_odd_bytes_do_not_cost_the_description(tmp_path: Path, description: bytes, levels: int) -> None:
    write_tiff(tmp_path / "slide", levels, description)
    with open_slide(tmp_path / "slide") as slide:
        assert slide.mpp == pytest.approx(0.499)


@pytest.mark.parametrize(
    "lines", [b"unit=\xb5m\n", b"unit=um\r\n", b"unit=micron  \r\n", b"info=\xff\nunit=um\0\n", b"unit=\xe2\x84\xabm\n"]
)
def test_an_odd_description_of_imagej_is_read_or_named(tmp_path: Path, lines: bytes) -> None:
    write_tiff(tmp_path / "field", 1, b"ImageJ=1.54f\n" + lines, resolution=(2, 2))
    if b"\xab" in lines:
        with pytest.raises(ResolutionError, match="m', which is unknown"):
            open_slide(tmp_path / "field")
        return
    with open_slide(tmp_path / "field") as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "imagej description")


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (b"Aperio|MPP = 0.25|MPP = 0.5", r"MPP = 0\.25 and MPP = 0\.5 .*contradict each other"),
        (ome_xml("0.25", "um").replace("PhysicalSizeY=", "Was=").encode(), r"PhysicalSizeX = 0\.25 um .*one direction"),
        (ome_xml("0.25", "um").replace('SizeXUnit="um"', 'SizeXUnit="nm"').encode(), "implausible"),
        (ome_xml("0.25", "um").replace('SizeX="0.25"', 'SizeX="0.27"').encode(), r"0\.25 x 0\.27 um .*not square"),
        (ome_xml("0.25", "um").replace("</Image>", "").encode(), 'PhysicalSizeX="0.25" .*damaged XML'),
    ],
)
def test_half_a_statement_is_refused(tmp_path: Path, description: bytes, said: str) -> None:
    write_tiff(tmp_path / "field", 1, description)
    with pytest.raises(ResolutionError, match=rf"field: .*{said}.*--mpp"):
        open_slide(tmp_path / "field")


@pytest.mark.parametrize(("dpi", "mpp"), [(72, None), (300, None), (1200, None), (101_600, 0.25)])
@pytest.mark.parametrize("of_imagej", [True, False])
def test_dots_per_inch_of_a_picture_are_no_microscope(
    tmp_path: Path, dpi: int, mpp: float | None, of_imagej: bool
) -> None:
    description = b"ImageJ=1.54f\nunit=inch\n" if of_imagej else b"a picture"
    write_tiff(tmp_path / "field", 1, description, resolution=(dpi, dpi), resolutionunit="INCH")
    with open_slide(tmp_path / "field") as slide:
        assert slide.mpp == (mpp and pytest.approx(mpp))


@pytest.mark.parametrize("dpi", [72, 101_600])
def test_a_density_in_one_direction_is_refused_where_it_is_a_microscopes(tmp_path: Path, dpi: int) -> None:
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, ARRAYS[0], photometric="rgb", metadata=None, resolution=(dpi, dpi), resolutionunit="INCH")
    # YResolution is no tag any more, but a private one.
    path.write_bytes(path.read_bytes().replace(struct.pack("<HH", 283, 5), struct.pack("<HH", 65_000, 5), 1))
    if dpi == 72:
        with open_slide(path) as slide:
            assert slide.mpp is None
    else:
        with pytest.raises(ResolutionError, match=r"XResolution = 101600 per inch .* one direction only"):
            open_slide(path)


def test_each_byte_of_a_description_is_read_in_the_encoding_it_has() -> None:
    assert decode_description("µm ".encode() + b"\xb5m\0x\0\0") == "µm µm\nx"


def test_a_scale_without_unit_says_nothing(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "field", [np.ascontiguousarray(ARRAYS[0])], mpp=0.499, unit=None)
    with open_slide(tmp_path / "field") as slide:
        assert (slide.mpp, slide.mpp_source) == (None, "assumed")
