"""ImageSlide: plain fields as PIL decodes them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.slides import Level, open_slide
from tests.factories.slides import Pixels, texture

RGB = texture(61, 83)


def read_saved(path: Path, image: Image.Image, **options: Any) -> Pixels:
    image.save(path, **options)
    with open_slide(path) as slide:
        return slide.read(0, (0, 0, image.height, image.width))


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg", "webp"])
def test_a_field_is_read_as_pil_decodes_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"field.{suffix}"
    pixels = read_saved(path, Image.fromarray(RGB))
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")))
    if suffix in ("png", "bmp"):
        np.testing.assert_array_equal(pixels, RGB)


def test_a_field_is_one_level_and_white_outside(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "field.png")
    with open_slide(tmp_path / "field.png") as slide:
        assert slide.levels == (Level(61, 83, 1.0),)
        pixels = slide.read(0, (50, -2, 63, 20))
        np.testing.assert_array_equal(pixels[:11, 2:], RGB[50:61, :20])
        assert (pixels[11:] == 255).all()
        assert (pixels[:, :2] == 255).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    pixels = read_saved(tmp_path / ("field.jpg" if mode == "CMYK" else "field.png"), image)
    if mode != "CMYK":
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    assert pixels.shape == RGB.shape


def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    grey = RGB[:, :, 0].astype(np.uint16) * 256 + 200
    pixels = read_saved(tmp_path / "field.png", Image.fromarray(grey))
    np.testing.assert_array_equal(pixels, np.stack([RGB[:, :, 0]] * 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_what_is_transparent_is_white(tmp_path: Path, suffix: str) -> None:
    alpha = np.zeros((61, 83, 1), np.uint8)
    alpha[:, 40:] = 255
    image = Image.fromarray(np.concatenate([RGB, alpha], axis=2))
    pixels = read_saved(tmp_path / f"field.{suffix}", image, lossless=True)
    assert (pixels[:, :40] == 255).all()
    np.testing.assert_array_equal(pixels[:, 40:], RGB[:, 40:])


def test_exif_orientation_does_not_turn_a_field(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    assert read_saved(tmp_path / "field.jpg", Image.fromarray(RGB), exif=exif).shape == RGB.shape


def png_of_declared_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_declared_size(2**15, 2**15))
    with pytest.raises(UnsupportedSlideError, match=r"bomb\.png: 32768 x 32768 px are too many.*tiled TIFF"):
        open_slide(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_field_without_its_end_is_damage(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"short.{suffix}"
    Image.fromarray(RGB).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DamagedSlideError, match=r"short\."):
        open_slide(path)


def test_a_closed_field_says_so(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "field.png")
    slide = open_slide(tmp_path / "field.png")
    slide.close()
    with pytest.raises(SlideError, match="is closed"):
        slide.read(0, (0, 0, 1, 1))
