"""TiffSlide: the same pixels as OpenSlide, from every level, box and thread."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from scanner.errors import SlideError
from scanner.slides import Slide, open_slide
from scanner.slides.tiff.slide import TiffSlide
from scanner.slides.vendor import VendorSlide
from tests.factories.slides import Pixels, aperio_description, pyramid, texture, whole, write_pyramid
from tests.inference.threads import assert_threads_read_the_same

CODECS: dict[str, dict[str, Any]] = {
    "JPEG 4:2:0": {"compression": "jpeg"},
    "JPEG 4:4:4": {"compression": "jpeg", "subsampling": (1, 1)},
    "JPEG RGB": {"compression": "jpeg", "compressionargs": {"level": 90, "outcolorspace": "rgb"}},
    "JPEG 2000": {"compression": "aperio_jp2000_rgb"},
    "deflate": {"compression": "deflate"},
    "LZW": {"compression": "lzw", "predictor": True},
    "zstd": {"compression": "zstd"},
    "uncompressed": {},
}
LOSSLESS = ("deflate", "LZW", "zstd", "uncompressed", "JPEG 2000")


def by_openslide(path: Path, level: int) -> Pixels:
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))[:, :, :3]


def test_pixels_of_the_example_equal_openslide(example_slide: Path) -> None:
    with open_slide(example_slide) as slide:
        assert isinstance(slide, TiffSlide)
        np.testing.assert_array_equal(whole(slide), by_openslide(example_slide, 0))


@pytest.mark.parametrize("codec", CODECS)
def test_pixels_of_every_level_equal_openslide(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "slide.svs"
    arrays = write_pyramid(path, texture(301, 420), **CODECS[codec])
    with open_slide(path) as slide:
        assert isinstance(slide, TiffSlide)
        assert [(level.height, level.width, level.downsample) for level in slide.levels] == [
            (301, 420, 1.0),
            (150, 210, 2.0),
            (75, 105, 4.0),
        ]
        for level, array in enumerate(arrays):
            pixels = whole(slide, level)
            np.testing.assert_array_equal(pixels, by_openslide(path, level))
            if codec in LOSSLESS:
                np.testing.assert_array_equal(pixels, array)


@pytest.mark.parametrize("codec", ["JPEG 4:2:0", "JPEG 2000"])
def test_pixels_of_a_bigtiff_equal_openslide(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "slide.svs"
    arrays = pyramid(texture(301, 420), 2)
    options = {"photometric": "rgb", "tile": (128, 128), "metadata": None, **CODECS[codec]}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for index, array in enumerate(arrays):
            description = aperio_description(array, 0.25) if index == 0 else None
            writer.write(array, description=description, subfiletype=index and 1, **deepcopy(options))
    assert path.read_bytes()[:4] == b"II+\x00"
    with open_slide(path) as slide:
        assert isinstance(slide, TiffSlide)
        for level in range(2):
            np.testing.assert_array_equal(whole(slide, level), by_openslide(path, level))


def test_an_icc_profile_is_seen_and_not_applied(tmp_path: Path) -> None:
    array = texture(128, 128)
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    for suffix in ("svs", "png"):
        seen = {}
        for with_icc in (True, False):
            path = tmp_path / f"slide-{with_icc}.{suffix}"
            kept = profile if with_icc else None
            if suffix == "svs":
                write_pyramid(path, array, levels=1, **({"iccprofile": kept} if kept else {}))
            else:
                Image.fromarray(array).save(path, icc_profile=kept)
            with open_slide(path) as slide:
                seen[with_icc] = slide.has_icc
                np.testing.assert_array_equal(whole(slide), array)
            if suffix == "svs":
                with VendorSlide(path) as theirs:
                    assert theirs.has_icc == with_icc
        assert seen == {True: True, False: False}


def test_jpeg_2000_in_ycbcr_is_left_to_openslide(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.svs", texture(200, 200), compression="aperio_jp2000_ycbc")
    with open_slide(tmp_path / "slide.svs") as slide:
        np.testing.assert_array_equal(whole(slide, 1), by_openslide(tmp_path / "slide.svs", 1))


@pytest.mark.parametrize("codec", CODECS)
def test_every_level_of_an_ome_tiff_is_seen(tmp_path: Path, codec: str) -> None:
    arrays = write_pyramid(tmp_path / "slide.ome.tif", texture(256, 384), style="ome", **CODECS[codec])
    with open_slide(tmp_path / "slide.ome.tif") as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
        assert (slide.mpp, slide.mpp_source) == (0.25, "ome-xml")
        for level, array in enumerate(arrays):
            assert whole(slide, level).shape == array.shape
            if codec in LOSSLESS:
                np.testing.assert_array_equal(whole(slide, level), array)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pixels, Slide]]:
    path = tmp_path_factory.mktemp("tiled") / "slide.tif"
    array = texture(201, 173)
    tifffile.imwrite(path, array, tile=(64, 48), photometric="rgb", compression="zlib")
    with open_slide(path) as slide:
        yield array, slide


edges = st.integers(-40, 260)


@settings(max_examples=60, deadline=None)
@given(top=edges, left=edges, bottom=edges, right=edges)
def test_a_box_is_cut_out_of_the_level_and_white_beyond_it(
    tiled: tuple[Pixels, Slide], top: int, left: int, bottom: int, right: int
) -> None:
    array, slide = tiled
    around = np.pad(array, ((100, 100), (100, 100), (0, 0)), constant_values=255)
    expected = around[100 + top : 100 + max(top, bottom), 100 + left : 100 + max(left, right)]
    np.testing.assert_array_equal(slide.read(0, (top, left, bottom, right)), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"rowsperstrip": 16, "compression": "lzw"},
        {"rowsperstrip": 7, "compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}},
        {"rowsperstrip": 16},
        {},  # one strip, read in bands
        {"byteorder": ">"},
        {"planarconfig": "separate", "tile": (64, 64), "compression": "zlib"},
        {"planarconfig": "separate", "rowsperstrip": 16},
        {"tile": (64, 64), "bigtiff": True},
    ],
)
def test_every_layout_gives_the_same_pixels(tmp_path: Path, options: dict[str, Any]) -> None:
    array = texture(150, 131)
    stored = np.moveaxis(array, 2, 0) if options.get("planarconfig") else array
    tifffile.imwrite(tmp_path / "field.tif", stored, photometric="rgb", **options)
    expected = tifffile.imread(tmp_path / "field.tif") if options.get("compression") == "jpeg" else array
    with open_slide(tmp_path / "field.tif") as slide:
        np.testing.assert_array_equal(whole(slide), expected)
        np.testing.assert_array_equal(slide.read(0, (60, 20, 131, 90)), expected[60:131, 20:90])


def test_four_threads_read_what_one_reads(example_slide: Path) -> None:
    boxes = [(top, left, top + 500, left + 500) for top in range(0, 2900, 400) for left in range(0, 2200, 400)]
    assert_threads_read_the_same(example_slide, boxes, level=0)


def test_a_closed_slide_says_so(example_slide: Path) -> None:
    slide = open_slide(example_slide)
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="is closed"):
        slide.read(0, (0, 0, 1, 1))
