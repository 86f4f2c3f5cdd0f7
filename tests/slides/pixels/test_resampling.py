"""Resampling: close to the same cubic in float64, and exact to the bit whatever the cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scanner.geometry.frames import Box
from scanner.slides.pixels import resampling
from scanner.slides.pixels.resampling import ONE, STEPS, Axis, keys_cubic, resample, whole_weights
from tests.factories.slides import Pixels, texture


def resampled(array: Pixels, ratio: float) -> Pixels:
    height, width = round(array.shape[0] / ratio), round(array.shape[1] / ratio)
    rows, cols = Axis(array.shape[0], ratio), Axis(array.shape[1], ratio)
    return resample(lambda box: array[box.slices()], Box(0, 0, height, width), rows=rows, cols=cols)


@pytest.mark.parametrize(("size", "out"), [(220, 200), (200, 100), (300, 100), (100, 200), (90, 100)])
def test_pixels_agree_with_pil_bicubic(size: int, out: int) -> None:
    array = texture(size, size, blob=9) // 2 + 60  # PIL cuts off at 0 and 255 between its passes, we do not.
    pixels = resampled(array, size / out)
    expected = np.asarray(Image.fromarray(array).resize((out, out), Image.Resampling.BICUBIC))
    inner = slice(8, -8)  # PIL leaves out the taps beyond the edge, we repeat the edge.
    difference = pixels.astype(int)[inner, inner] - expected.astype(int)[inner, inner]
    # Both round twice, PIL to whole grey levels in between.
    assert np.abs(difference).max() <= 1
    assert np.abs(difference).mean() < 0.3


@pytest.mark.parametrize("piece", [16, 33, 1000])
def test_pixels_do_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    array = texture(211, 190)
    expected = resampled(array, 1.37)
    monkeypatch.setattr(resampling, "PIECE", piece)
    np.testing.assert_array_equal(resampled(array, 1.37), expected)


def test_the_largest_possible_sum_is_exact_in_float32() -> None:
    """The law that all of this rests on: no sum reaches 2**24."""
    centres = np.linspace(0, 1, 1001)[:, None]
    for widening in (1.0, 1.3, 2.0, 40.0):
        taps = np.arange(-200, 201)
        weights = whole_weights(keys_cubic((taps - centres) / widening))
        largest = np.abs(weights).sum(axis=1).max() / ONE
        assert 255 * STEPS * largest * ONE * largest < 2**24


@given(
    start=st.integers(0, 10**6),
    count=st.integers(1, 5),
    ratio=st.floats(0.1, 60),
)
def test_weights_are_whole_and_add_up_to_one(start: int, count: int, ratio: float) -> None:
    length = int((start + count) * ratio) + 1
    weights, first, last = Axis(length, ratio).matrix(start, start + count)
    dense: npt.NDArray[np.float32] = weights.toarray()
    assert 0 <= first < last <= length
    assert dense.shape == (count, last - first)
    np.testing.assert_array_equal(dense, np.rint(dense))
    np.testing.assert_array_equal(dense.sum(axis=1), np.full(count, ONE))


def test_the_kernel_interpolates() -> None:
    np.testing.assert_array_equal(keys_cubic(np.array([-2.0, -1, 0, 1, 2, 3])), [0, 0, 1, 0, 0, 0])
    np.testing.assert_allclose(keys_cubic(np.array([-1.5, -0.5, 0.5, 1.5])), [-0.0625, 0.5625, 0.5625, -0.0625])


def test_what_a_low_level_cannot_show_does_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = resampled(stripes, 4.3)[5:-5, 5:-5]
    assert np.ptp(pixels) <= 12
    assert abs(pixels.mean() - 127.5) < 1
