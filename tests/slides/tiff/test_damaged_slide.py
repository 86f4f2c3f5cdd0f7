"""Damaged TIFFs: a lost tile costs its own pixels, a file that is cut off is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import DamagedSlideError, SlideError, UnreadableRegionError
from scanner.slides import open_slide
from tests.factories.slides import aperio_description, texture, whole, write_pyramid


def test_tiles_left_out_by_the_scanner_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    array = texture(128, 128)
    tiles = [array[:64, :64].tobytes(), b"", b"", array[64:, 64:].tobytes()]
    tifffile.imwrite(path, iter(tiles), shape=array.shape, dtype=np.uint8, tile=(64, 64), photometric="rgb")
    with open_slide(path) as slide:
        with pytest.raises(UnreadableRegionError, match=r"level 0, TIFF tile in row 0, column 1: .* no data"):
            slide.read(0, (0, 64, 64, 128))
        np.testing.assert_array_equal(slide.read(0, (64, 64, 128, 128)), array[64:, 64:])


def test_a_damaged_tile_spoils_its_own_pixels_only(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_pyramid(path, texture(256, 256), levels=1, compression="jpeg")
    with open_slide(path) as slide:
        whole_before = whole(slide)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.dataoffsets[3]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * 64)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, (0, 0, 128, 256)), whole_before[:128])
        with pytest.raises(UnreadableRegionError, match=r"slide\.svs: level 0, TIFF tile in row 1, column 1"):
            slide.read(0, (100, 100, 140, 140))
        np.testing.assert_array_equal(slide.read(0, (0, 0, 256, 128)), whole_before[:, :128])


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Pyramids with their headers at different places."""
    folder = tmp_path_factory.mktemp("whole")
    for style in ("aperio", "ome"):
        write_pyramid(folder / style, texture(400, 380), levels=2, style=style, compression="jpeg")
    array = texture(256, 256)
    # An Aperio writer that puts its headers first: tifffile does so for uncompressed tiles.
    description = aperio_description(array, 0.25)
    tifffile.imwrite(folder / "first", array, tile=(128, 128), photometric="rgb", description=description)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.sampled_from(["aperio", "ome", "first"]), st.floats(0, 1, exclude_max=True))
def test_a_copy_that_was_broken_off_is_no_slide(
    whole_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "short.svs"
    path.write_bytes(whole_files[name][: int(len(whole_files[name]) * share)])
    with pytest.raises(SlideError, match=r"short\.svs"):
        open_slide(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["aperio", "ome", "first"])
def test_a_broken_off_copy_is_named_with_its_place_and_the_way_out(
    whole_files: dict[str, bytes], tmp_path: Path, name: str, share: float
) -> None:
    content = whole_files[name][: max(16, int(len(whole_files[name]) * share))]
    (tmp_path / "short.svs").write_bytes(content)
    reason = rf"short\.svs: the file is cut off at byte {len(content)}: .* \d+; copy it again"
    with pytest.raises(DamagedSlideError, match=reason):
        open_slide(tmp_path / "short.svs")


def test_a_slide_cut_short_while_it_is_open_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "short.svs"
    array = texture(256, 256)
    tifffile.imwrite(path, array, tile=(128, 128), photometric="rgb", description=aperio_description(array, 0.25))
    with open_slide(path) as slide:
        os.truncate(path, path.stat().st_size - 100)
        np.testing.assert_array_equal(slide.read(0, (0, 0, 128, 256)), array[:128])
        with pytest.raises(UnreadableRegionError, match="100 bytes early"):
            slide.read(0, (128, 128, 256, 256))
