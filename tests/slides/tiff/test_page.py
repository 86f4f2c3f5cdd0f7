"""plan_level: every kind of brightfield sample becomes RGB, every other is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from scanner.errors import DamagedSlideError, SlideError, UnreadableRegionError, UnsupportedSlideError
from scanner.slides import open_slide
from tests.factories.slides import Pixels, texture, write_pyramid

RGB = texture(70, 90)
GREY = RGB[:, :, 0]
ALPHA = np.where(np.indices(GREY.shape).sum(axis=0) % 3 == 0, 0, 255).astype(np.uint8)[:, :, None]
RGBA = np.concatenate([RGB, ALPHA], axis=2)
ON_WHITE = np.where(ALPHA == 0, 255, RGB).astype(np.uint8)


def read_field(path: Path, array: npt.NDArray[Any], **options: Any) -> Pixels:
    tifffile.imwrite(path / "field.tif", array, **options)
    with open_slide(path / "field.tif") as slide:
        return slide.read(0, (0, 0, *array.shape[:2]))


@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32)}, {"tile": (32, 32), "compression": "zlib"}])
@pytest.mark.parametrize(
    ("array", "options", "expected"),
    [
        (GREY, {"photometric": "minisblack"}, np.stack([GREY] * 3, axis=2)),
        (GREY, {"photometric": "miniswhite"}, 255 - np.stack([GREY] * 3, axis=2)),
        (RGB.astype(np.uint16) * 257, {"photometric": "rgb"}, RGB),
        (GREY.astype(np.uint16) * 256 + 255, {"photometric": "minisblack"}, np.stack([GREY] * 3, axis=2)),
        (RGBA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, ON_WHITE),
        (RGBA * (RGBA[:, :, 3:] > 0), {"photometric": "rgb", "extrasamples": ["assocalpha"]}, ON_WHITE),
        (RGBA, {"photometric": "rgb", "extrasamples": ["unspecified"]}, RGB),
    ],
    ids=["grey", "white is 0", "16-bit RGB", "16-bit grey", "alpha", "alpha multiplied in", "fourth sample"],
)
def test_samples_become_rgb(
    tmp_path: Path, array: npt.NDArray[Any], options: dict[str, Any], expected: Pixels, layout: dict[str, Any]
) -> None:
    np.testing.assert_array_equal(read_field(tmp_path, array, **options, **layout), expected)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    pixels = read_field(tmp_path, GREY, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(pixels, (palette >> 8).T[GREY])


@pytest.mark.parametrize(
    ("array", "options", "reason"),
    [
        (GREY.astype(np.float32), {}, "32-bit float32"),
        (GREY.astype(np.int16), {}, "int16"),
        (RGBA, {"photometric": "separated"}, "are CMYK, not brightfield RGB; write it as RGB of 8 bits"),
        (GREY, {"compression": "lzma"}, "compression"),
        (np.stack([GREY] * 3), {"photometric": "minisblack", "metadata": {"axes": "CYX"}, "ome": True}, "SizeC = 3"),
        (np.stack([RGB] * 3), {"photometric": "rgb"}, "several pages of full size"),
    ],
)
def test_other_samples_are_refused_with_the_reason(
    tmp_path: Path, array: npt.NDArray[Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedSlideError, match=reason) as caught:
        read_field(tmp_path, array, **options)
    assert "field.tif" in str(caught.value)


def patch_tag(path: Path, name: str, value: int) -> None:
    """Overwrite the first page's tag, which must hold one inline number."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags[name].overwrite(value)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("ImageWidth", 2**31), ("ImageLength", 2**24 - 1), ("ImageWidth", 0), ("TileWidth", 2**30), ("TileLength", 0)],
)
def test_a_header_that_lies_about_sizes_is_refused(tmp_path: Path, tag: str, value: int) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(200, 200), levels=1, style="generic", compression="jpeg")
    patch_tag(path, tag, value)
    with pytest.raises(SlideError, match=r"slide\.tif"):
        open_slide(path)


def test_too_few_tiles_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(200, 200), levels=1, style="generic", compression="jpeg")
    patch_tag(path, "ImageLength", 100_000)
    with pytest.raises(DamagedSlideError, match="4 TIFF tiles are listed, 1564 needed"):
        open_slide(path)


def test_a_tile_that_declares_billions_of_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(128, 128), levels=1, style="generic", compression="jpeg")
    content = bytearray(path.read_bytes())
    frame = content.find(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with open_slide(path) as slide, pytest.raises(UnreadableRegionError, match="declares 65535 x 65535 px"):
        slide.read(0, (0, 0, 1, 1))
