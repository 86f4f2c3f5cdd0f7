"""VendorSlide: OpenSlide's pixels on OpenSlide's level 0, however the level is cut into boxes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from scanner.errors import DamagedSlideError, ResolutionError, SlideError, UnreadableRegionError
from scanner.slides import open_slide
from scanner.slides.opening import open_with
from scanner.slides.readers import OPENSLIDE
from scanner.slides.tiff.slide import TiffSlide
from scanner.slides.vendor import VendorSlide
from tests.factories.slides import texture, write_pyramid


def test_both_readers_agree_on_every_level_and_over_its_edges(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_pyramid(path, texture(1200, 840), compression="jpeg")
    with TiffSlide(path) as ours, VendorSlide(path) as theirs:
        assert theirs.levels == ours.levels
        assert theirs.mpp == ours.mpp
        assert theirs.mpp_source == "openslide property"
        for index, level in enumerate(ours.levels):
            for box in [(0, 0, level.height, level.width), (-9, 100, 77, 205), (level.height - 30, -5, 1300, 900)]:
                np.testing.assert_array_equal(theirs.read(index, box), ours.read(index, box))


def test_a_box_does_not_change_its_pixels_where_the_downsample_is_no_integer(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    options = {"tile": (128, 128), "photometric": "rgb", "metadata": None}
    array = texture(2000, 1700)
    with tifffile.TiffWriter(path) as writer:
        writer.write(array, description="Aperio Image Library v1\r\n|MPP = 0.25", **options)
        writer.write(texture(857, 729), **options)
    with VendorSlide(path) as slide:
        assert slide.levels[1].downsample == pytest.approx(2.333, abs=0.01)
        whole = slide.read(1, (0, 0, 857, 729))
        for box in [(3, 5, 600, 700), (511, 511, 514, 514), (700, 1, 857, 2)]:
            np.testing.assert_array_equal(slide.read(1, box), whole[box[0] : box[2], box[1] : box[3]])


def test_four_threads_read_what_one_reads(example_slide: Path) -> None:
    boxes = [(top, left, top + 600, left + 600) for top in range(0, 2900, 500) for left in range(0, 2200, 500)]
    with TiffSlide(example_slide) as ours, VendorSlide(example_slide) as theirs, ThreadPoolExecutor(4) as threads:
        for box, pixels in zip(boxes, threads.map(lambda box: theirs.read(0, box), boxes), strict=True):
            np.testing.assert_array_equal(pixels, ours.read(0, box))


def test_a_dicom_slide_is_read(shared_data: Path) -> None:
    path = shared_data / "slides" / "ezwsi_camelyon.dcm"
    with open_slide(path) as slide, openslide.OpenSlide(path) as oracle:
        assert isinstance(slide, VendorSlide)
        assert slide.mpp == pytest.approx(28.97, abs=0.01)
        width, height = oracle.dimensions
        expected = np.asarray(oracle.read_region((0, 0), 0, (width, height)))[:, :, :3]
        np.testing.assert_array_equal(slide.read(0, (0, 0, height, width)), expected)


def test_one_damaged_tile_does_not_spoil_the_reads_that_follow(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_pyramid(path, texture(1100, 1100), levels=1, compression="jpeg", tile=(256, 256))
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * 64)
    with VendorSlide(path) as slide, TiffSlide(path) as ours:
        with pytest.raises(UnreadableRegionError, match="512 px square in row 0, column 0"):
            slide.read(0, (0, 0, 100, 100))
        box = (600, 600, 1100, 1100)
        np.testing.assert_array_equal(slide.read(0, box), ours.read(0, box))


def test_a_slide_without_mpp_is_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.svs", texture(200, 200), mpp=None)
    with pytest.raises(ResolutionError, match=r"slide\.svs.*--mpp"):
        open_with(OPENSLIDE, tmp_path / "slide.svs")
    with open_with(OPENSLIDE, tmp_path / "slide.svs", mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "override")


def test_what_openslide_refuses_is_said_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "text.svs").write_text("no slide")
    with pytest.raises(DamagedSlideError, match=r"text\.svs: OpenSlide: "):
        VendorSlide(tmp_path / "text.svs")


def test_a_closed_slide_says_so(example_slide: Path) -> None:
    slide = VendorSlide(example_slide)
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="is closed"):
        slide.read(0, (0, 0, 1, 1))
