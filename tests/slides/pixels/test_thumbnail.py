import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.frames import Box
from scanner.slides.pixels import thumbnail
from scanner.slides.pixels.thumbnail import read_thumbnail
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.slides import pyramid, texture


def block_means(pixels: np.ndarray, side: int) -> np.ndarray:
    """Means of side x side blocks, of what there is of them at the border."""
    rows, cols = range(0, pixels.shape[0], side), range(0, pixels.shape[1], side)
    blocks = [[pixels[row : row + side, col : col + side].reshape(-1, 3).mean(axis=0) for col in cols] for row in rows]
    return np.array(blocks)


@given(st.integers(1, 90), st.integers(1, 90))
def test_cells_hold_the_mean_colour_of_their_part_of_the_slide(height: int, width: int) -> None:
    pixels = texture(height, width)
    slide = ArraySlide([pixels], mpp=0.25)
    found = read_thumbnail(slide, frame_of(slide), cell_um=8)  # 32 px
    np.testing.assert_allclose(found.colours, block_means(pixels, 32), rtol=0, atol=0.5)  # rounded to uint8
    assert found.is_readable.all()


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = ArraySlide([texture(500, 300)], mpp=0.4)
    whole = read_thumbnail(slide, frame_of(slide), cell_um=8).colours
    monkeypatch.setattr(thumbnail, "STRIP_PX", 300 * 20)
    slide.largest_read = 0
    np.testing.assert_array_equal(read_thumbnail(slide, frame_of(slide), cell_um=8).colours, whole)
    assert slide.largest_read <= 300 * 20


def test_the_smallest_level_that_resolves_the_cells_is_read() -> None:
    slide = ArraySlide(pyramid(texture(512, 512), levels=6), mpp=0.5)  # 0.5, 1, 2, 4, 8, 16 um/px
    read_thumbnail(slide, frame_of(slide), cell_um=8)
    assert slide.levels_read == {4}


def test_unreadable_parts_are_marked_and_the_rest_is_read() -> None:
    pixels = texture(1024, 1024)
    slide = ArraySlide([pixels], mpp=0.25, unreadable=[Box(300, 500, 310, 510)])
    found = read_thumbnail(slide, frame_of(slide), cell_um=8)
    assert not found.is_readable[9, 15]
    assert (~found.is_readable).sum() <= thumbnail.SMALLEST_CUT**2
    expected = block_means(pixels, 32)
    np.testing.assert_allclose(found.colours[found.is_readable], expected[found.is_readable], rtol=0, atol=0.5)


def test_a_part_is_the_same_as_in_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = ArraySlide(pyramid(texture(531, 403), 3))
    whole = read_thumbnail(slide, frame_of(slide), cell_um=1.7)
    monkeypatch.setattr(thumbnail, "STRIP_PX", 5000)
    part = read_thumbnail(slide, frame_of(slide), cell_um=1.7, within=Box(9, 20, 60, 900))
    np.testing.assert_array_equal(part.colours, whole.colours[9:60, 20:])
    np.testing.assert_array_equal(part.is_readable, whole.is_readable[9:60, 20:])
