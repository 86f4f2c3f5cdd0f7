"""No bytes is not glass: tiles that are not there are drawn from the finer level, or cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import UnreadableRegionError
from scanner.geometry.frames import Box
from scanner.slides import open_slide
from scanner.slides.pixels import read_through
from scanner.slides.pixels.mosaic import TileCache
from scanner.slides.pixels.protocol import Level, ReadsMasked, levels_from_sizes
from scanner.slides.pixels.read_through import FinerAxis, NoBytesError, TiledLevels, TileSource, area_weights
from scanner.slides.pixels.resampling import ONE
from tests.factories.holes import leave_out, reduced
from tests.factories.slides import Pixels, damage_tile, halved, pyramid, texture, write_pyramid
from tests.inference.threads import assert_threads_read_the_same

#: A mean of means is rounded at every level.
ROUNDING = 1.01

WRITERS: dict[str, dict[str, Any]] = {
    "SVS, JPEG": {"style": "aperio", "compression": "jpeg"},
    "SVS, JPEG 2000": {"style": "aperio", "compression": "aperio_jp2000_rgb"},
    "TIFF, LZW": {"style": "generic", "compression": "lzw"},
    "TIFF, uncompressed": {"style": "generic"},
    "BigTIFF OME, deflate": {"style": "ome", "compression": "deflate"},
    "BigTIFF OME, zstd": {"style": "ome", "compression": "zstd"},
    "TIFF, strips": {"style": "generic", "compression": "deflate", "tile": None, "rowsperstrip": 64},
    "TIFF, uncompressed strips": {"style": "generic", "tile": None, "rowsperstrip": 64},
}


def whole(path: Path, level: int) -> Pixels:
    with open_slide(path) as slide:
        size = slide.levels[level]
        return slide.read(level, (0, 0, size.height, size.width))


@pytest.mark.parametrize("tag", ["byte counts", "offsets", "both"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_reduced_level_without_bytes_is_drawn_from_the_finer_one(tmp_path: Path, writer: str, tag: str) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(512, 640, blob=64), levels=3, **WRITERS[writer])
    before = [whole(path, level) for level in range(3)]
    leave_out(path, 1, [1], tag=tag)
    leave_out(path, 2, tag=tag)
    np.testing.assert_array_equal(whole(path, 0), before[0])
    found = whole(path, 1)
    lost = Box(64, 0, 128, 320) if "strips" in writer else Box(0, 128, 128, 256)
    drawn = reduced(before[0], 2)[lost.slices()]
    np.testing.assert_allclose(found[lost.slices()], drawn, rtol=0, atol=ROUNDING)
    found[lost.slices()] = before[1][lost.slices()]
    np.testing.assert_array_equal(found, before[1])
    found[lost.slices()] = drawn.round()
    np.testing.assert_allclose(whole(path, 2), reduced(found, 2), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("tag", ["byte counts", "offsets", "both"])
@pytest.mark.parametrize("writer", WRITERS)
def test_level_0_without_bytes_cannot_be_read(tmp_path: Path, writer: str, tag: str) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(512, 640), levels=1, **WRITERS[writer])
    before = whole(path, 0)
    leave_out(path, 0, [1], tag=tag)
    lost = Box(64, 0, 128, 640) if "strips" in writer else Box(0, 128, 128, 256)
    with open_slide(path) as slide:
        with pytest.raises(NoBytesError, match=r"slide\.tif: level 0, TIFF tile in row \d, column \d: .* no data"):
            slide.read(0, (lost.bottom - 1, lost.right - 1, lost.bottom, lost.right))
        np.testing.assert_array_equal(slide.read(0, (128, 0, 512, 640)), before[128:])
        assert isinstance(slide, ReadsMasked)
        pixels, readable = slide.read_masked(0, (0, 0, 512, 640))
    assert readable is not None
    expected = np.ones((512, 640), np.bool_)
    expected[lost.slices()] = False
    np.testing.assert_array_equal(readable, expected)
    np.testing.assert_array_equal(pixels, np.where(expected[..., None], before, 255))


def test_a_damaged_tile_of_a_reduced_level_is_drawn_too(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_pyramid(path, texture(256, 256, blob=64), levels=2, compression="jpeg")
    before = whole(path, 0)
    damage_tile(path, 0, level=1)
    np.testing.assert_allclose(whole(path, 1), reduced(before, 2), rtol=0, atol=ROUNDING)


def test_where_nothing_finer_is_left_a_reduced_level_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_pyramid(path, texture(512, 512), levels=3, compression="deflate")
    leave_out(path, 0, [5])  # Rows and columns 128 to 255.
    leave_out(path, 1, [0])
    leave_out(path, 2, [0])
    with open_slide(path) as slide, pytest.raises(NoBytesError, match=r"level 2, TIFF tile in row 0, column 0"):
        slide.read(2, (32, 32, 33, 33))
    with open_slide(path) as slide:
        expected = halved(halved(texture(512, 512)))
        np.testing.assert_allclose(slide.read(2, (64, 0, 128, 128)), expected[64:], rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(slide.read(2, (0, 64, 128, 128)), expected[:, 64:], rtol=0, atol=ROUNDING)


SIDE, TILE = 96, 16


@st.composite
def lost_tiles(draw: st.DrawFn) -> list[set[tuple[int, int]]]:
    """Tiles of three levels that are not there."""
    sides = [SIDE // TILE // 2**level + (SIDE // TILE % 2**level > 0) for level in range(3)]
    places = [st.tuples(st.integers(0, side - 1), st.integers(0, side - 1)) for side in sides]
    return [draw(st.sets(place)) for place in places]


def in_memory(arrays: list[Pixels], lost: list[set[tuple[int, int]]]) -> TiledLevels:
    """Levels in tiles of TILE px."""

    def source(level: int) -> TileSource:
        def decode(row: int, col: int) -> Pixels:
            if (row, col) in lost[level]:
                raise NoBytesError("lost")
            return np.ascontiguousarray(arrays[level][row * TILE :, col * TILE :][:TILE, :TILE])

        return TileSource((TILE, TILE), decode)

    levels = levels_from_sizes([array.shape[:2] for array in arrays])
    return TiledLevels(levels, [source(level) for level in range(len(arrays))], name="slide")


def oracle(arrays: list[Pixels], lost: list[set[tuple[int, int]]], level: int) -> npt.NDArray[np.float64]:
    """A level, NaN where it cannot be read."""
    pixels = arrays[level].astype(np.float64)
    finer = None if level == 0 else reduced(oracle(arrays, lost, level - 1), 2)
    for row, col in lost[level]:
        place = Box(row * TILE, col * TILE, (row + 1) * TILE, (col + 1) * TILE).clipped(*pixels.shape[:2]).slices()
        pixels[place] = np.nan if finer is None else finer[place]
    return pixels


@given(lost=lost_tiles(), box=st.tuples(*[st.integers(-8, 40)] * 4), level=st.integers(0, 2))
def test_any_tiles_may_be_missing(lost: list[set[tuple[int, int]]], box: tuple[int, int, int, int], level: int) -> None:
    arrays = pyramid(texture(SIDE, SIDE, blob=4), 3)
    expected = oracle(arrays, lost, level)
    slide, wanted = in_memory(arrays, lost), Box(*box)
    wanted = Box(wanted.top, wanted.left, max(wanted.top, wanted.bottom), max(wanted.left, wanted.right))
    inside = wanted.clipped(*expected.shape[:2])
    around = np.full((wanted.height, wanted.width, 3), 255.0)
    if inside.area:
        around[inside.shifted(-wanted.top, -wanted.left).slices()] = expected[inside.slices()]
    is_readable = ~np.isnan(around).any(axis=2)
    pixels, readable = slide.read_masked(level, wanted)
    np.testing.assert_array_equal(np.ones_like(is_readable) if readable is None else readable, is_readable)
    np.testing.assert_allclose(pixels[is_readable], around[is_readable], rtol=0, atol=level * ROUNDING)
    assert (pixels[~is_readable] == 255).all()
    if is_readable.all():
        np.testing.assert_array_equal(slide.read(level, wanted), pixels)
    else:
        with pytest.raises(UnreadableRegionError):
            slide.read(level, wanted)


@given(length=st.integers(1, 300), ratio=st.floats(1, 40), start=st.integers(0, 20), count=st.integers(1, 20))
def test_weights_are_the_shares_of_an_area(length: int, ratio: float, start: int, count: int) -> None:
    weights, first, last = area_weights(FinerAxis(length, ratio), start, start + count)
    assert 0 <= first < last <= length
    np.testing.assert_array_equal(weights.sum(axis=1), ONE)
    matrix = weights.toarray() / ONE
    for index in range(count):
        begin, end = (start + index) * ratio, min((start + index + 1) * ratio, length)
        if end - begin < 0.01:
            continue
        taps = np.arange(first, last)
        shares = (np.minimum(taps + 1, end) - np.maximum(taps, begin)).clip(0) / (end - begin)
        np.testing.assert_allclose(matrix[index], shares, rtol=0, atol=1.01 / ONE)


def test_threads_draw_the_same(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_pyramid(path, texture(1024, 1024), levels=3, compression="jpeg")
    leave_out(path, 2)
    leave_out(path, 1, range(0, 16, 3))
    boxes = [(top, left, top + 90, left + 90) for top in range(0, 256, 40) for left in range(0, 256, 40)]
    assert_threads_read_the_same(path, boxes, level=2)


def test_a_level_without_any_bytes_takes_no_more_memory_than_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_through, "TileCache", lambda: TileCache(max_bytes=0))
    monkeypatch.setattr(read_through, "PIECE", 256)
    monkeypatch.setattr(read_through, "parts_of", recording := Recording(read_through.parts_of))
    side = 1 << 14
    levels = (Level(side, side, 1.0), Level(side // 64, side // 64, 64.0))

    def nothing(_row: int, _col: int) -> Pixels:
        raise NoBytesError("lost")

    decoded = np.full((256, 256, 3), 7, np.uint8)
    sources = [TileSource((256, 256), lambda _row, _col: decoded.copy()), TileSource((256, 256), nothing)]
    pixels = TiledLevels(levels, sources, name="slide").read(1, Box(0, 0, 256, 256))
    assert (pixels == 7).all()
    assert recording.largest <= 512 * 512


class Recording:
    """`parts_of`, and the most pixels that were asked for at once."""

    def __init__(self, parts_of: Any) -> None:
        self._parts_of = parts_of
        self.largest = 0

    def __call__(self, level: Level, box: Box, tile_shape: tuple[int, int]) -> Any:
        self.largest = max(self.largest, box.area)
        return self._parts_of(level, box, tile_shape)
