"""mpp: every source, its plausibility, and what a slide and a field do without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from scanner.errors import ResolutionError
from scanner.slides import open_slide
from scanner.slides.metadata.resolution import Unusable
from scanner.slides.metadata.stated import resolution_from_aperio, resolution_from_ome
from tests.factories.slides import texture, write_pyramid

ARRAY = texture(96, 80)


def tags(row_mpp: float, col_mpp: float | None = None, unit: str = "CENTIMETER") -> dict[str, Any]:
    um_per_unit = {"CENTIMETER": 1e4, "INCH": 25_400.0, "NONE": 1.0}[unit]
    return {"resolution": (um_per_unit / (col_mpp or row_mpp), um_per_unit / row_mpp), "resolutionunit": unit}


def stated(path: Path, mpp: float | None = None) -> tuple[float | None, str]:
    with open_slide(path, mpp) as slide:
        return slide.mpp, slide.mpp_source


@pytest.fixture
def field(tmp_path: Path) -> Path:
    return tmp_path / "field.tif"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return tmp_path / "slide.svs"


def test_the_example_states_its_mpp(example_slide: Path) -> None:
    assert stated(example_slide) == (0.499, "aperio description")


@pytest.mark.parametrize(("style", "source"), [("aperio", "aperio description"), ("generic", "tiff tag")])
def test_a_pyramid_states_its_mpp(slide: Path, style: str, source: str) -> None:
    write_pyramid(slide, ARRAY, style=style, mpp=0.2273)
    mpp, said = stated(slide)
    assert mpp == pytest.approx(0.2273, rel=1e-6)
    assert said == source


@pytest.mark.parametrize("style", ["aperio", "generic", "ome"])
def test_a_pyramid_without_mpp_is_refused_and_the_way_out_is_named(slide: Path, style: str) -> None:
    write_pyramid(slide, ARRAY, style=style, mpp=None)
    with pytest.raises(ResolutionError, match=r"slide\.svs: the slide does not state its mpp; pass it with --mpp"):
        open_slide(slide)
    assert stated(slide, 0.25) == (0.25, "override")


@pytest.mark.parametrize("mpp", [0.0, 0.001, 250.0, 352.8])
def test_a_pyramid_with_an_implausible_mpp_is_refused_by_value(slide: Path, mpp: float) -> None:
    write_pyramid(slide, ARRAY, mpp=mpp)
    with pytest.raises(ResolutionError, match=rf"slide\.svs: {mpp:g} um/px \(aperio description\).*--mpp"):
        open_slide(slide)
    assert stated(slide, 0.25) == (0.25, "override")


def test_72_dpi_are_no_resolution_of_a_slide(slide: Path) -> None:
    write_pyramid(slide, ARRAY, style="generic", mpp=None, resolution=(72, 72), resolutionunit="INCH")
    with pytest.raises(ResolutionError, match=r"352\.778 um/px \(tiff tag\)"):
        open_slide(slide)


def test_the_override_wins_over_the_file(example_slide: Path) -> None:
    assert stated(example_slide, 0.5) == (0.5, "override")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_an_image_has_no_mpp_but_the_one_it_is_given(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    path = tmp_path / f"field.{suffix}"
    # 0.25 um/px, as some programs write it: as little believed as the 72 dpi of all others.
    Image.fromarray(ARRAY).save(path, dpi=(101_600, 101_600))
    assert stated(path) == (None, "assumed")
    assert stated(path, 0.3) == (0.3, "override")


@pytest.mark.parametrize("unit", ["CENTIMETER", "INCH"])
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32)}])
def test_a_field_in_a_tiff_may_state_its_mpp(field: Path, unit: str, layout: dict[str, Any]) -> None:
    tifffile.imwrite(field, ARRAY, photometric="rgb", **tags(0.25, unit=unit), **layout)
    mpp, source = stated(field)
    assert mpp == pytest.approx(0.25, rel=1e-6)
    assert source == "tiff tag"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resolution": (72, 72), "resolutionunit": "INCH"},
        {"resolution": (96, 96), "resolutionunit": "INCH"},
        {"resolution": (300, 300), "resolutionunit": "INCH"},
        {"resolution": (4, 4), "resolutionunit": "NONE"},
        {"resolution": ((0, 1), (0, 1)), "resolutionunit": "CENTIMETER"},
    ],
)
def test_a_field_whose_tags_say_nothing_credible_has_no_mpp(field: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(field, ARRAY, photometric="rgb", **options)
    assert stated(field) == (None, "assumed")


def test_a_field_of_imagej_states_its_mpp(field: Path) -> None:
    tifffile.imwrite(field, ARRAY, imagej=True, resolution=(4, 4), metadata={"unit": "um", "axes": "YXS"})
    assert stated(field) == (0.25, "imagej description")


@pytest.mark.parametrize(("row", "col", "mpp"), [(0.2275, 0.2273, 0.2274), (0.25, 0.26, 0.25495)])
def test_nearly_square_pixels_have_the_mean_mpp(field: Path, row: float, col: float, mpp: float) -> None:
    tifffile.imwrite(field, ARRAY, photometric="rgb", **tags(row, col))
    assert stated(field)[0] == pytest.approx(mpp, rel=1e-5)


@pytest.mark.parametrize("is_slide", [True, False])
def test_pixels_that_are_not_square_are_refused(field: Path, is_slide: bool) -> None:
    write_pyramid(field, ARRAY, style="generic", mpp=None, levels=2 if is_slide else 1, **tags(0.25, 0.27))
    with pytest.raises(ResolutionError, match=r"0\.25 x 0\.27 um .*not square.*--mpp"):
        open_slide(field)
    assert stated(field, 0.26) == (0.26, "override")


@pytest.mark.parametrize(("reduced", "is_out"), [(0.25, False), (0.5, False), (0.52, False), (1.0, True)])
def test_a_level_whose_tags_contradict_level_0_is_left_out(slide: Path, reduced: float, is_out: bool) -> None:
    options: dict[str, Any] = {"photometric": "rgb", "tile": (32, 32), "metadata": None}
    with tifffile.TiffWriter(slide) as writer:
        writer.write(ARRAY, **tags(0.25), **options)
        writer.write(np.ascontiguousarray(ARRAY[::2, ::2]), subfiletype=1, **tags(reduced), **options)
    assert stated(slide)[0] == pytest.approx(0.25)
    with open_slide(slide) as opened:
        assert len(opened.levels) == (1 if is_out else 2)
        said = "it states 1 um/px, which is neither the 0.25 of level 0 nor 2 times that"
        assert [said in note for note in opened.notes] == [True] * is_out


@pytest.mark.parametrize(
    ("size", "unit", "mpp"),
    [("0.25", None, 0.25), ("0.25", "µm", 0.25), ("250", "nm", 0.25), ("2.5e-4", "mm", 0.25), ("1", "pixel", None)],
)
def test_ome_xml_states_its_unit(size: str, unit: str | None, mpp: float | None) -> None:
    said = "" if unit is None else f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels SizeX="8" PhysicalSizeX="{size}" PhysicalSizeY="{size}"{said}/></Image></OME>'
    )
    resolution = resolution_from_ome(xml)
    assert not isinstance(resolution, Unusable)
    assert (resolution and pytest.approx(resolution.mpp)) == mpp


@pytest.mark.parametrize("xml", ["", "<OME", "<OME/>", '<!DOCTYPE x [<!ENTITY a "b">]><OME>&a;</OME>'])
def test_other_descriptions_state_nothing(xml: str) -> None:
    assert resolution_from_ome(xml) is None


@pytest.mark.parametrize("description", ["Aperio", "Aperio|MPP = ", "Aperio|AppMag = 40"])
def test_an_aperio_description_without_mpp_states_nothing(description: str) -> None:
    assert resolution_from_aperio(description) is None


@pytest.mark.parametrize("said", ["MPP = x", "MPP = 1.2.3"])
def test_an_aperio_description_without_a_number_states_what_is_unusable(said: str) -> None:
    assert resolution_from_aperio(f"Aperio|{said}") == Unusable(said, "aperio description", "is not a number")
