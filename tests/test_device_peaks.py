"""Peaks found in tensors are those found in arrays, bit for bit: the device does not show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.device_peaks import disk_mean, find_peaks_on_device
from scanner.peaks import PeakSettings, find_map_peaks
from scanner.smoothing import smooth_map

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def noise(shape: tuple[int, int], seed: int, levels: int) -> np.ndarray:
    """Few levels make flat tops and ties, many make none."""
    values = np.random.default_rng(seed).random(shape)
    return (np.round(values * levels) / levels).astype(np.float32)


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    radius=st.sampled_from([0.0, 1.0, 1.6, 3.2, 5.0]),
    band_rows=st.sampled_from([None, 1, 2, 7, 40]),
    levels=st.sampled_from([1, 3, 10**6]),
    seed=st.integers(0, 9),
)
def test_the_peaks_of_a_device_are_those_of_the_cpu(
    device: str, shape: tuple[int, int], radius: float, band_rows: int | None, levels: int, seed: int
) -> None:
    values = noise(shape, seed, levels)
    chosen = PeakSettings(floor=0.3, radius_px=2.5, band_rows=band_rows)
    expected = find_map_peaks(smooth_map(lambda box: values[box.slices()], shape, radius_px=radius), shape, chosen)
    found = find_peaks_on_device(
        lambda box: values[box.slices()], shape, chosen, smoothing_px=radius, device=torch.device(device)
    )
    assert found == expected


@pytest.mark.parametrize("device", DEVICES)
def test_an_empty_map_has_no_peaks(device: str) -> None:
    zeros = np.zeros((50, 30), np.float32)
    chosen = PeakSettings(floor=0.05, radius_px=3.0)
    assert (
        find_peaks_on_device(
            lambda box: zeros[box.slices()], zeros.shape, chosen, smoothing_px=2.0, device=torch.device(device)
        )
        == []
    )


def test_a_disk_of_ones_has_the_mean_one() -> None:
    np.testing.assert_array_equal(disk_mean(torch.ones(11, 12), 2.2).numpy(), np.ones((7, 8), np.float32))
