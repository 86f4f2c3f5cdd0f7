"""find_levels: the levels of the slide, not its label, thumbnail, macro picture or mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from scanner.errors import UnsupportedSlideError
from scanner.slides import open_slide
from tests.factories.slides import Pixels, aperio_description, halved, texture, write_pyramid

SLIDE = texture(400, 640)
TILES: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
STRIPS: dict[str, Any] = {"rowsperstrip": 16, "photometric": "rgb", "metadata": None}


def sizes(path: Path, *, image: int | None = None) -> list[tuple[int, int]]:
    with open_slide(path, mpp=0.25, image=image) as slide:
        return [(level.height, level.width) for level in slide.levels]


def write_pages(path: Path, *pages: tuple[Pixels, dict[str, Any]]) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for array, options in pages:
            writer.write(array, **options)
    return path


def test_an_aperio_file_has_its_tiled_pages_as_levels(tmp_path: Path) -> None:
    path = write_pages(
        tmp_path / "slide.svs",
        (SLIDE, TILES | {"description": aperio_description(SLIDE, 0.25)}),
        (halved(halved(SLIDE)), STRIPS),  # thumbnail: the same proportions, but strips
        (halved(SLIDE), TILES),
        (texture(46, 38), STRIPS),  # label
        (texture(43, 128), STRIPS),  # macro picture
    )
    assert sizes(path) == [(400, 640), (200, 320)]


def test_the_order_of_pages_does_not_matter(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "slide.tif", (halved(SLIDE), TILES), (SLIDE, TILES), (halved(halved(SLIDE)), TILES))
    assert sizes(path) == [(400, 640), (200, 320), (100, 160)]
    with open_slide(path, mpp=0.25) as slide:
        np.testing.assert_array_equal(slide.read(0, (0, 0, 400, 640)), SLIDE)


def test_a_picture_of_other_proportions_is_no_level(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "slide.tif", (SLIDE, TILES), (texture(200, 300), TILES), (halved(SLIDE), TILES))
    assert sizes(path, image=0) == [(400, 640), (200, 320)]
    assert sizes(path, image=1) == [(200, 300)]


def test_a_grey_page_beside_a_coloured_one_is_no_level(tmp_path: Path) -> None:
    grey = {"tile": (64, 64), "photometric": "minisblack", "metadata": None}
    path = write_pages(
        tmp_path / "slide.tif",
        (SLIDE, TILES),
        (SLIDE[:, :, 0], grey),
        (halved(SLIDE)[:, :, 0], grey),
    )
    assert sizes(path) == [(400, 640)]


def test_levels_lie_in_subifds_or_in_the_chain(tmp_path: Path) -> None:
    for style in ("ome", "generic"):
        write_pyramid(tmp_path / style, SLIDE, style=style, levels=4, tile=(64, 64))
        assert sizes(tmp_path / style) == [(400, 640), (200, 320), (100, 160), (50, 80)]


def test_a_stack_is_refused(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "stack.tif", (SLIDE, TILES), (SLIDE, TILES))
    with pytest.raises(UnsupportedSlideError, match=r"stack\.tif: several pages of full size"):
        open_slide(path)


def test_a_file_of_very_many_pages_is_refused(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "many.tif", *[(texture(1, 1), STRIPS)] * 300)
    with pytest.raises(UnsupportedSlideError, match="more than 256 TIFF pages"):
        open_slide(path)


def test_strips_may_make_a_pyramid(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "slide.tif", (SLIDE, STRIPS), (halved(SLIDE), STRIPS | {"subfiletype": 1}))
    assert sizes(path) == [(400, 640), (200, 320)]
