"""Which images a file holds, and which levels are whose: by its structure, never by proportions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from scanner.errors import ImageNotFoundError
from scanner.slides import ImageKind, describe_file, open_slide
from scanner.slides.opening import open_image
from tests.factories.images import (
    FIRST,
    MPP,
    OVERVIEW,
    OVERVIEW_MPP,
    SECOND,
    TILES,
    WRITERS,
    Part,
    write_chain,
)
from tests.factories.slides import Pixels, aperio_description, halved, pyramid, texture

IMAGE, LOOK = ImageKind.IMAGE, ImageKind.OVERVIEW
STRIPS: dict[str, Any] = {"tile": None, "rowsperstrip": 16}


def assert_shows(path: Path, levels: list[Pixels], *, image: int | None = None, mpp: float = MPP) -> None:
    """The image that is opened holds these levels and no others."""
    with open_image(path, image=image) as slide:
        assert [(level.height, level.width) for level in slide.levels] == [level.shape[:2] for level in levels]
        for index, level in enumerate(levels):
            np.testing.assert_array_equal(slide.read(index, (0, 0, *level.shape[:2])), level)
        assert slide.mpp == pytest.approx(mpp)
        assert slide.image.levels == slide.levels
        assert slide.images == describe_file(path).images


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_scene_half_as_large_is_an_image_of_its_own(tmp_path: Path, name: str, is_turned: bool, levels: int) -> None:
    parts = [Part(FIRST, levels), Part(SECOND, levels)]
    parts = parts[::-1] if is_turned else parts
    WRITERS[name](tmp_path / name, parts)
    assert [image.kind for image in describe_file(tmp_path / name).images] == [IMAGE, IMAGE]
    assert_shows(tmp_path / name, parts[0].arrays)
    for index, part in enumerate(parts):
        assert_shows(tmp_path / name, part.arrays, image=index)


@pytest.mark.parametrize("second", [1, 2])
@pytest.mark.parametrize("name", WRITERS)
def test_only_one_scene_may_have_levels(tmp_path: Path, name: str, second: int) -> None:
    parts = [Part(FIRST, 3 - second), Part(SECOND, second)]
    WRITERS[name](tmp_path / name, parts)
    for index, part in enumerate(parts):
        assert_shows(tmp_path / name, part.arrays, image=index)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("called", ["", "macro image"])
def test_an_overview_is_named_and_not_scanned_wherever_it_stands(
    tmp_path: Path, name: str, place: int, called: str
) -> None:
    parts = [Part(FIRST, 2), Part(SECOND)]
    parts.insert(place, Part(OVERVIEW, mpp=MPP if called else OVERVIEW_MPP, name=called))
    WRITERS[name](tmp_path / name, parts)
    images = describe_file(tmp_path / name).images
    assert [image.kind for image in images] == [LOOK if index == place else IMAGE for index in range(3)]
    assert images[place].name == called or not called
    assert [image.index for image in images] == [0, 1, 2]
    assert_shows(tmp_path / name, parts[0 if place else 1].arrays)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("place", [0, 1])
def test_a_small_picture_without_mpp_is_an_overview(tmp_path: Path, name: str, place: int, levels: int) -> None:
    parts = [Part(FIRST, levels)]
    parts.insert(place, Part(OVERVIEW, mpp=None))
    WRITERS[name](tmp_path / name, parts)
    images = describe_file(tmp_path / name).images
    assert [(image.kind, image.problem) for image in images] == [
        (LOOK if index == place else IMAGE, "") for index in range(2)
    ]
    assert_shows(tmp_path / name, parts[1 - place].arrays)


@pytest.mark.parametrize("name", WRITERS)
def test_each_image_has_its_own_mpp(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, [Part(FIRST, mpp=0.25), Part(SECOND, mpp=0.5)])
    assert [image.mpp for image in describe_file(tmp_path / name).images] == [pytest.approx(0.25), pytest.approx(0.5)]
    assert_shows(tmp_path / name, [SECOND], image=1, mpp=0.5)


@pytest.mark.parametrize("name", WRITERS)
def test_an_image_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, [Part(FIRST, 2), Part(SECOND), Part(OVERVIEW, mpp=16.0)])
    name_of = "( 'Image[0-9]')?"  # tifffile's own, in OME-XML
    there = rf"image 0{name_of} \(384 x 256 px\), image 1{name_of} \(192 x 128 px\), image 2{name_of} \(overview, 96"
    with pytest.raises(ImageNotFoundError, match=f"there is no image 3; it holds {there}"):
        open_slide(tmp_path / name, image=3)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_calls_its_only_image_an_overview_has_an_image(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, [Part(FIRST, 2, name="overview")])
    assert [image.kind for image in describe_file(tmp_path / name).images] == [IMAGE]


@pytest.mark.parametrize("flag", [4, 8, 9, 12])
@pytest.mark.parametrize("has_description", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_page_flagged_as_macro_or_mask_is_no_level(
    tmp_path: Path, flag: int, has_description: bool, place: int
) -> None:
    described = {"description": aperio_description(FIRST, MPP)} if has_description else {}
    tags = {"resolution": (1e4 / MPP,) * 2, "resolutionunit": "CENTIMETER"}
    pages = [(FIRST, tags | described), (halved(halved(FIRST)), {"subfiletype": 1})]
    pages.insert(place, (halved(FIRST), {"subfiletype": 1}))
    write_chain(tmp_path / "slide.tif", pages)
    with tifffile.TiffFile(tmp_path / "slide.tif", mode="r+") as file:
        file.pages[place].tags["NewSubfileType"].overwrite(flag)
    assert_shows(tmp_path / "slide.tif", [FIRST, halved(halved(FIRST))])
    assert sorted(image.kind for image in describe_file(tmp_path / "slide.tif").images) == [IMAGE, LOOK]


def test_a_page_of_a_document_is_no_level(tmp_path: Path) -> None:
    tags = {"resolution": (1e4 / MPP,) * 2, "resolutionunit": "CENTIMETER", "subfiletype": 2}
    write_chain(tmp_path / "pages.tif", [(FIRST, tags), (halved(FIRST), tags)])
    assert_shows(tmp_path / "pages.tif", [FIRST])
    assert_shows(tmp_path / "pages.tif", [halved(FIRST)], image=1)


def test_aperio_names_its_thumbnail_label_and_macro_picture(tmp_path: Path, example_slide: Path) -> None:
    images = describe_file(example_slide).images
    assert [(image.name, image.kind) for image in images] == [
        ("", IMAGE),
        ("thumbnail", LOOK),
        ("label", LOOK),
        ("macro", LOOK),
    ]


@pytest.mark.parametrize("name", ["label", "macro"])
def test_a_tiled_page_that_aperio_calls_a_macro_picture_is_no_level(tmp_path: Path, name: str) -> None:
    described = {"description": aperio_description(FIRST, MPP)}
    called = {"description": f"Aperio Image Library v12.0.0\r\n{name} 192x128"}
    write_chain(tmp_path / "a.svs", [(FIRST, described), (halved(FIRST), called)])
    assert_shows(tmp_path / "a.svs", [FIRST])
    assert describe_file(tmp_path / "a.svs").images[1].name == name


@pytest.mark.parametrize("reduce", ["mean", "nearest", "blurred jpeg"])
def test_levels_without_a_flag_are_told_by_their_picture(tmp_path: Path, reduce: str) -> None:
    small = np.ascontiguousarray(FIRST[::2, ::2]) if reduce == "nearest" else halved(FIRST)
    options = {"compression": "jpeg", "compressionargs": {"level": 40}} if "jpeg" in reduce else {}
    write_chain(tmp_path / "a.tif", [(FIRST, options), (small, options)])
    with open_slide(tmp_path / "a.tif", mpp=MPP) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0]


@pytest.mark.parametrize("order", ["ABab", "AaBb", "abAB", "BbAa"])
def test_flagged_levels_go_to_the_scene_that_they_show(tmp_path: Path, order: str) -> None:
    scenes = {"A": texture(256, 384, seed=4), "B": texture(200, 300, seed=5)}
    tags = {"resolution": (1e4 / MPP,) * 2, "resolutionunit": "CENTIMETER"}
    pages = [
        (scenes[letter], tags) if letter.isupper() else (halved(halved(scenes[letter.upper()])), {"subfiletype": 1})
        for letter in order
    ]
    write_chain(tmp_path / "a.tif", pages)
    for index, letter in enumerate(letter for letter in order if letter.isupper()):
        assert_shows(tmp_path / "a.tif", [scenes[letter], halved(halved(scenes[letter]))], image=index)


def test_levels_in_subifds_exclude_those_in_the_chain(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(FIRST, subifds=1, resolution=(20_000, 20_000), resolutionunit="CENTIMETER", **TILES)
        writer.write(halved(FIRST), subfiletype=1, **TILES)
        writer.write(halved(halved(FIRST)), subfiletype=1, **TILES)
    assert_shows(tmp_path / "a.tif", pyramid(FIRST, 2))
    (note,) = describe_file(tmp_path / "a.tif").notes
    assert note == "the TIFF page of 96 x 64 px, flagged as a level, is left out: the levels lie in SubIFDs"


def test_a_subifd_of_other_proportions_is_left_out_and_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        size = {"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
        writer.write(FIRST, subifds=2, **TILES | {"metadata": size})
        writer.write(texture(100, 192), subfiletype=1, **TILES)
        writer.write(halved(halved(FIRST)), subfiletype=1, **TILES)
    assert_shows(tmp_path / "a.ome.tif", [FIRST, halved(halved(FIRST))])
    assert describe_file(tmp_path / "a.ome.tif").notes == (
        "the SubIFD of 192 x 100 px is left out: it is no reduction of 384 x 256 px",
    )
