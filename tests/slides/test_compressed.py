"""The declared size of compressed tiles is what the decoder makes of them."""

from __future__ import annotations

from typing import Any

import imagecodecs
import pytest
from tifffile import COMPRESSION

from scanner.slides.compressed import check_declared_size, jpeg2000_size, jpeg_size
from tests.slides_factory import texture


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
