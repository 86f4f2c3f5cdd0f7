"""The declared size of compressed tiles is what the decoder makes of them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from tifffile import COMPRESSION

from scanner.errors import UnreadableRegionError, UnsupportedSlideError
from scanner.slides import open_slide
from scanner.slides.files.compressed import (
    check_declared_size,
    jpeg2000_size,
    jpeg_size,
    jpegxl_size,
    png_size,
    webp_size,
)
from tests.factories.slides import texture, write_pyramid


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"subsampling": "444"}, {"level": 100}])
def test_the_size_of_a_jpeg_is_read_from_its_frame(options: dict[str, Any]) -> None:
    assert jpeg_size(imagecodecs.jpeg_encode(texture(37, 51), **options)) == (37, 51)


@pytest.mark.parametrize("container", ["j2k", "jp2"])
def test_the_size_of_jpeg_2000_is_read_from_its_codestream(container: str) -> None:
    assert jpeg2000_size(imagecodecs.jpeg2k_encode(texture(37, 51), codecformat=container)) == (37, 51)


@pytest.mark.parametrize("encoded", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc0\x00\x11", bytes(99)])
def test_what_declares_no_size_is_left_to_the_decoder(encoded: bytes) -> None:
    assert jpeg_size(encoded) == jpeg2000_size(encoded) == (0, 0)


def test_more_pixels_than_allowed_are_refused() -> None:
    encoded = imagecodecs.jpeg_encode(texture(37, 51))
    check_declared_size(encoded, COMPRESSION.JPEG, 37 * 51)
    with pytest.raises(ValueError, match="declares 51 x 37 px"):
        check_declared_size(encoded, COMPRESSION.JPEG, 37 * 51 - 1)


SIDES = [(1, 1), (8, 8), (37, 51), (256, 256), (256, 512), (300, 400), (9000, 4), (4, 9000), (264, 8)]


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"usecontainer": True}, {"level": 70}, {"effort": 1}])
def test_the_size_of_jpeg_xl_is_read_from_its_codestream(size: tuple[int, int], options: dict[str, Any]) -> None:
    assert jpegxl_size(imagecodecs.jpegxl_encode(np.zeros((*size, 3), np.uint8), **options)) == size


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("options", [{"level": 60}, {"lossless": True}])
def test_the_sizes_of_webp_and_png_are_read_from_their_heads(
    size: tuple[int, int], channels: int, options: dict[str, Any]
) -> None:
    pixels = np.full((*size, channels), 77, np.uint8)
    assert webp_size(imagecodecs.webp_encode(pixels, **options)) == size
    assert png_size(imagecodecs.png_encode(pixels)) == size


@pytest.mark.parametrize("size_of", [jpegxl_size, webp_size, png_size])
@pytest.mark.parametrize(
    "encoded",
    [b"", b"\xff\x0a", b"\xff\x0a\xff", bytes(99), b"\0\0\0\x0cJXL \r\n\x87\n" + b"\xff" * 40, b"RIFF....WEBP"],
)
def test_what_declares_no_size_to_them_is_left_to_the_decoder(
    size_of: Callable[[bytes], tuple[int, int]], encoded: bytes
) -> None:
    assert size_of(encoded) == (0, 0)


@pytest.mark.parametrize(
    ("size_of", "film"),
    [
        (jpegxl_size, lambda: imagecodecs.jpegxl_encode(np.zeros((3, 64, 64, 3), np.uint8))),
        (png_size, lambda: imagecodecs.apng_encode(np.zeros((3, 64, 64, 3), np.uint8))),
        (webp_size, lambda: _webp_film()),
    ],
)
def test_a_film_is_no_tile(size_of: Callable[[bytes], tuple[int, int]], film: Callable[[], bytes]) -> None:
    with pytest.raises(ValueError, match=r"declares (an animation|more than a picture)"):
        size_of(film())


def _webp_film() -> bytes:
    file = io.BytesIO()
    pictures = [Image.fromarray(texture(64, 64, seed=seed)) for seed in range(3)]
    pictures[0].save(file, "WEBP", save_all=True, append_images=pictures[1:])
    return file.getvalue()


@pytest.mark.parametrize("compression", ["jpegxl", 52546, "png", "webp", 34927, "zstd", 34926])
@pytest.mark.parametrize("lossless", [True, False])
def test_tiles_of_a_tiff_are_read_as_tifffile_reads_them(
    tmp_path: Path, compression: str | int, lossless: bool
) -> None:
    lossy = not lossless and compression in ("jpegxl", 52546, "webp", 34927)
    options = {"compressionargs": {"level": 60, "lossless": False}} if lossy else {}
    levels = write_pyramid(
        tmp_path / "slide.tif", texture(200, 300), style="generic", tile=(64, 64), compression=compression, **options
    )
    boxes = [(0, 0, 200, 300), (-3, 100, 70, 310), (63, 63, 65, 65)] * 8
    with tifffile.TiffFile(tmp_path / "slide.tif") as oracle:
        expected = [page.asarray() for page in oracle.pages]
    assert np.array_equal(expected[0], levels[0]) is not lossy
    around = np.pad(expected[0], ((3, 0), (0, 10), (0, 0)), constant_values=255)
    with open_slide(tmp_path / "slide.tif") as slide, ThreadPoolExecutor(4) as threads:
        for (top, left, bottom, right), pixels in zip(
            boxes, threads.map(lambda box: slide.read(0, box), boxes), strict=True
        ):
            np.testing.assert_array_equal(pixels, around[top + 3 : bottom + 3, left:right])
        for index, level in enumerate(expected):
            np.testing.assert_array_equal(slide.read(index, (0, 0, *level.shape[:2])), level)


@pytest.mark.parametrize("compression", ["jpegxl", "png", "webp"])
def test_a_tile_that_declares_far_more_than_its_size_costs_itself_alone(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(128, 128), style="generic", levels=1, tile=(64, 64), compression=compression)
    encode = getattr(imagecodecs, f"{compression}_encode")
    bomb = encode(np.zeros((4000, 4000, 3), np.uint8))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        place, counts = tags["TileOffsets"].valueoffset, tags["TileByteCounts"].valueoffset
    struct.pack_into("<I", content, place, len(content))
    struct.pack_into("<I", content, counts, len(bomb))
    path.write_bytes(bytes(content) + bomb)
    with open_slide(path) as slide:
        with pytest.raises(UnreadableRegionError, match="row 0, column 0: declares 4000 x 4000 px"):
            slide.read(0, (0, 0, 10, 10))
        np.testing.assert_array_equal(slide.read(0, (64, 64, 128, 128)), texture(128, 128)[64:, 64:])


@pytest.mark.parametrize(
    ("compression", "named"), [("lerc", "LERC"), ("lzma", "LZMA"), ("jpegxr", "JPEGXR"), (33004, "JPEG 2000 LOSSY")]
)
def test_a_compression_that_is_not_read_is_refused_in_words(tmp_path: Path, compression: str | int, named: str) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", texture(64, 64), tile=(64, 64), photometric="rgb", compression=compression)
    with pytest.raises(
        UnsupportedSlideError, match=rf"its compression, {named} \(\d+\), is not read; write it anew"
    ) as caught:
        open_slide(tmp_path / "slide.tif")
    assert "<" not in str(caught.value)


def test_a_compression_without_a_name_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(64, 64), style="generic", levels=1)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["Compression"].valueoffset
    struct.pack_into("<H", content, place, 64999)
    path.write_bytes(content)
    with pytest.raises(UnsupportedSlideError, match=r"its compression, an unknown one \(64999\), is not read"):
        open_slide(path)
