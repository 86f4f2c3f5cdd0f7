import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.frames import Box
from scanner.maps.smoothing import disk_half_widths, smooth, smooth_map

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
RADII = st.floats(0, 7, allow_nan=False).map(lambda radius: round(radius, 2))


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def slow_disk_mean(values: np.ndarray, radius: float) -> np.ndarray:
    reach = int(radius)
    framed = np.pad(values.astype(np.float64), reach, mode="reflect")
    offsets = [
        (row, col)
        for row in range(-reach, reach + 1)
        for col in range(-reach, reach + 1)
        if row**2 + col**2 <= radius**2
    ]
    height, width = values.shape
    parts = [framed[reach + row : reach + row + height, reach + col : reach + col + width] for row, col in offsets]
    return np.mean(parts, axis=0)


@given(SHAPES, RADII, st.integers(0, 9))
def test_smoothing_is_the_mean_over_a_disk_of_the_mirrored_map(
    shape: tuple[int, int], radius: float, seed: int
) -> None:
    values = noise(shape, seed)
    # Values are counted in steps of 2**-30, results rounded to float32.
    np.testing.assert_allclose(smooth(values, radius), slow_disk_mean(values, radius), rtol=0, atol=1e-7)


@given(SHAPES, RADII, st.data())
def test_any_box_of_a_smoothed_map_has_the_bits_of_the_whole(
    shape: tuple[int, int], radius: float, data: st.DataObject
) -> None:
    values = noise(shape)
    top, left = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    box = Box(top, left, data.draw(st.integers(top + 1, shape[0])), data.draw(st.integers(left + 1, shape[1])))
    read = smooth_map(lambda inner: values[inner.slices()], shape, radius_px=radius)
    np.testing.assert_array_equal(read(box), smooth(values, radius)[box.slices()])


def test_blocks_leave_no_trace() -> None:
    # Larger than several blocks, some of which are all zero.
    values = noise((200, 700))
    values[60:150, 100:400] = 0
    np.testing.assert_allclose(smooth(values, 2.5), slow_disk_mean(values, 2.5), rtol=0, atol=1e-7)


def test_mirroring_and_turning_the_map_mirrors_and_turns_the_result() -> None:
    values = noise((31, 57))
    expected = smooth(values, 3.2)
    np.testing.assert_array_equal(smooth(values[::-1].copy(), 3.2), expected[::-1])
    np.testing.assert_array_equal(smooth(values.T.copy(), 3.2), expected.T)


def test_only_the_map_itself_is_ever_read() -> None:
    values = noise((20, 30))

    def read(box: Box) -> np.ndarray:
        assert box == box.clipped(20, 30)
        return values[box.slices()]

    smooth_map(read, (20, 30), radius_px=5)(Box(0, 0, 3, 30))


def test_constant_maps_stay_constant() -> None:
    for value in (0.0, 0.25, 1.0):
        values = np.full((9, 9), value, np.float32)
        np.testing.assert_array_equal(smooth(values, 4), values)


@pytest.mark.parametrize(("radius", "widths"), [(0, [0]), (1, [0, 1, 0]), (2.5, [1, 2, 2, 2, 1])])
def test_disks_hold_the_pixels_within_their_radius(radius: float, widths: list[int]) -> None:
    assert disk_half_widths(radius) == widths


@pytest.mark.parametrize("module", ["scanner.maps.smoothing", "scanner.maps.peaks"])
def test_post_processing_imports_with_torch_and_numpy_alone(module: str) -> None:
    code = (
        f"import sys, {module};"
        "heavy = {'scipy', 'skimage', 'tifffile', 'zarr', 'PIL', 'openslide'} & set(sys.modules);"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
