"""assemble and TileCache: tiles become boxes; the cache forgets, bounds its bytes, and never answers wrongly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.frames import Box
from scanner.slides import Level
from scanner.slides.pixels.mosaic import TileCache, assemble
from scanner.slides.pixels.protocol import Pixels
from tests.factories.slides import texture


@given(
    tile_shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    box=st.tuples(*[st.integers(-20, 60)] * 4),
)
def test_a_box_is_cut_out_of_its_tiles(tile_shape: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    array = texture(37, 41)
    level = Level(37, 41, 1.0)
    asked: list[tuple[int, int]] = []

    def tile_at(row: int, col: int) -> Pixels:
        asked.append((row, col))
        tile = np.zeros((*tile_shape, 3), np.uint8)  # Beyond the level a tile holds what it likes.
        top, left = row * tile_shape[0], col * tile_shape[1]
        part = array[top : top + tile_shape[0], left : left + tile_shape[1]]
        tile[: part.shape[0], : part.shape[1]] = part
        return tile

    pixels = assemble(level, Box(*box), tile_shape=tile_shape, tile_at=tile_at)
    around = np.pad(array, ((80, 80), (80, 80), (0, 0)), constant_values=255)
    top, left, bottom, right = (edge + 80 for edge in box)
    np.testing.assert_array_equal(pixels, around[top : max(top, bottom), left : max(left, right)])
    assert len(asked) == len(set(asked))


def test_a_tile_is_decoded_once_while_it_is_kept() -> None:
    cache = TileCache(max_bytes=3000)
    decoded: list[int] = []

    def get(key: int) -> Pixels:
        def decode() -> Pixels:
            decoded.append(key)
            return np.full((10, 30, 3), key, np.uint8)  # 900 bytes

        return cache.get(key, decode)

    for key in (1, 2, 3, 1, 4, 1, 2):  # 4 pushes 2 out, which has not been asked for the longest
        assert (get(key) == key).all()
    assert decoded == [1, 2, 3, 4, 2]


def test_a_tile_larger_than_the_bound_is_kept_until_the_next() -> None:
    cache = TileCache(max_bytes=10)
    decoded = []
    for key in ("a", "a", "b", "a"):
        cache.get(key, lambda key=key: decoded.append(key) or np.zeros((9, 9, 3), np.uint8))  # type: ignore[misc]
    assert decoded == ["a", "b", "a"]


def test_threads_get_the_tile_they_ask_for() -> None:
    cache = TileCache(max_bytes=2000)

    def values_of(key: int) -> set[int]:
        return set(cache.get(key, lambda: np.full((10, 10, 3), key, np.uint8)).ravel().tolist())

    keys = [number % 17 for number in range(2000)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(values_of, keys)) == [{key} for key in keys]


def test_a_tile_that_was_given_out_cannot_be_changed() -> None:
    tile = TileCache().get("a", lambda: np.zeros((2, 2, 3), np.uint8))
    assert not tile.flags.writeable
