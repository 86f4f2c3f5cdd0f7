"""Alpha is composited as PIL does it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scanner.slides.pixels.colour import composite, composite_premultiplied

channel = st.integers(0, 255)


@given(pixel=st.tuples(channel, channel, channel, channel), background=st.tuples(channel, channel, channel))
def test_a_pixel_is_seen_before_the_background(
    pixel: tuple[int, int, int, int], background: tuple[int, int, int]
) -> None:
    rgba = np.array([[pixel]], np.uint8)
    behind = Image.new("RGBA", (1, 1), background)
    expected = np.asarray(Image.alpha_composite(behind, Image.fromarray(rgba)).convert("RGB"))
    np.testing.assert_allclose(composite(rgba, background).astype(int), expected, atol=1)


@given(pixel=st.tuples(channel, channel, channel, channel))
def test_both_kinds_of_alpha_agree(pixel: tuple[int, int, int, int]) -> None:
    straight = np.array([[pixel]], np.uint8)
    multiplied = np.rint(straight * np.array([[[pixel[3] / 255] * 3 + [1.0]]])).astype(np.uint8)
    np.testing.assert_allclose(composite_premultiplied(multiplied).astype(int), composite(straight), atol=1)
