"""Peaks found in tensors are those found in arrays, bit for bit: the device does not show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from scanner.maps import peaks_on_gpu
from scanner.maps.peaks import PeakSettings, find_map_peaks
from scanner.maps.peaks_on_gpu import disk_mean, find_peaks_on_device
from scanner.maps.smoothing import smooth_map

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


def test_the_device_divides_and_does_not_multiply_by_a_reciprocal() -> None:
    """CUDA divides by a tensor of its own as a CPU does; by a number of the host, in two roundings."""
    divisors = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func.overloadpacket is torch.ops.aten.div:
                divisors.append(args[1])
            return func(*args, **(kwargs or {}))

    with Watch():
        disk_mean(torch.empty(11, 12, device="meta"), 2.2)
    (divisor,) = divisors
    assert isinstance(divisor, torch.Tensor)
    assert (divisor.device.type, divisor.dtype) == ("meta", torch.float64)


@pytest.mark.parametrize(("room", "asked"), [(40, [40]), (20, [40, 20]), (12, [40, 20, 10]), (5, [40, 20, 10])])
def test_a_gpu_without_memory_takes_smaller_bands_and_then_leaves_it_to_the_cpu(
    room: int, asked: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    values, seen = noise((60, 30), 1, 10**6), []

    def small_card(read, shape, chosen, *, smoothing_px, device):  # type: ignore[no-untyped-def]
        seen.append(chosen.band_rows)
        if chosen.band_rows > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return find_peaks_on_device(read, shape, chosen, smoothing_px=smoothing_px, device=torch.device("cpu"))

    monkeypatch.setattr(peaks_on_gpu, "find_peaks_on_device", small_card)
    chosen = PeakSettings(floor=0.3, radius_px=2.5, band_rows=40)
    found = peaks_on_gpu.find_peaks_on_gpu(
        lambda box: values[box.slices()], values.shape, chosen, smoothing_px=2.0, device=torch.device("cuda")
    )
    assert seen == asked
    assert ("on the CPU" in caplog.text) == (found is None) == (room < 10)
    if found is not None:
        smoothed = smooth_map(lambda box: values[box.slices()], values.shape, radius_px=2.0)
        assert found == find_map_peaks(smoothed, values.shape, chosen)
