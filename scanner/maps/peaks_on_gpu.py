"""Smoothing and peaks on a GPU, band by band: the map goes up, only points come back, and they are those of the CPU.

The same arithmetic as `scanner.maps.smoothing` and `scanner.maps.peaks`, in tensors: values counted in whole units,
sums that are exact whatever their order, one division in float64. So a peak has the same place and the same bits on
every device.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scanner.geometry.frames import Box, mirrored
from scanner.maps.peaks import NEIGHBOURS_ABOVE_AND_BELOW, Peak, PeakSettings, suppress
from scanner.maps.smoothing import UNITS, ReadMap, add_disk_rows, disk_half_widths

_log = logging.getLogger(__name__)

#: Map px in a band; its running sums take eight bytes each, of which four copies are alive.
BAND_PX = 2**24


def find_peaks_on_device(
    read: ReadMap, shape: tuple[int, int], settings: PeakSettings, *, smoothing_px: float, device: torch.device
) -> list[Peak]:
    """The peaks that NMS keeps in the smoothed map, best first.

    Parameters
    ----------
    read : callable
        Box within the map that is not smoothed, in map px -> ndarray of shape (h, w), float32, between 0 and 1.
    shape : (int, int)
        Height and width of the map.
    settings : PeakSettings
        What counts as a peak.
    smoothing_px : float
        Radius of the disk, as in `scanner.maps.smoothing.smooth`.
    device : torch.device
        Where it is done.

    Returns
    -------
    list of Peak
        Those of `find_map_peaks` on `smooth_map`, whatever the bands.
    """
    candidates: list[Peak] = []
    for framed, top in _framed_bands(read, shape, settings, smoothing_px=smoothing_px, device=device):
        candidates += _peaks_within(framed, settings.floor, first_row=top)
    return suppress(candidates, settings.radius_px)


def find_peaks_on_gpu(
    read: ReadMap, shape: tuple[int, int], settings: PeakSettings, *, smoothing_px: float, device: torch.device
) -> list[Peak] | None:
    """As `find_peaks_on_device`; None where `device` is no GPU, or has no memory for them.

    A GPU that has no memory for a band is asked again with half of it, twice.
    """
    if device.type != "cuda":
        return None
    rows = settings.band_rows or max(1, BAND_PX // shape[1])
    for band_rows in dict.fromkeys(max(1, rows // parts) for parts in (1, 2, 4)):
        try:
            smaller = replace(settings, band_rows=band_rows)
            return find_peaks_on_device(read, shape, smaller, smoothing_px=smoothing_px, device=device)
        except torch.OutOfMemoryError as error:
            _log.warning("no memory for peaks in bands of %d rows on %s: %s", band_rows, device, error)
        torch.cuda.empty_cache()  # Not where the error is handled: it holds on to the tensors of its frames.
    _log.warning("peaks are found on the CPU instead")
    return None


def disk_mean(values: Tensor, radius_px: float) -> Tensor:
    """Means of all disks that lie within `values`: (h + 2 * reach, w + 2 * reach) -> (h, w), float32."""
    half_widths = disk_half_widths(radius_px)
    halo = len(half_widths) // 2
    height, width = values.shape[0] - 2 * halo, values.shape[1] - 2 * halo
    units = (values * UNITS).round().to(torch.int32)
    running = F.pad(units.cumsum(dim=1, dtype=torch.int64), (1, 0))
    sums = torch.zeros((height, width), dtype=torch.int64, device=values.device)
    add_disk_rows(sums, running, half_widths)
    disk_px = sum(2 * half_width + 1 for half_width in half_widths)
    # A tensor of the device: by a plain number, CUDA multiplies with its reciprocal instead, which rounds twice.
    divisor = torch.full((), disk_px * UNITS, dtype=torch.float64, device=values.device)
    return (sums.double() / divisor).float()


def _framed_bands(
    read: ReadMap, shape: tuple[int, int], settings: PeakSettings, *, smoothing_px: float, device: torch.device
) -> Iterator[tuple[Tensor, int]]:
    """Full-width bands of the smoothed map on the device, framed by one px more on every side, with their first row.

    Outside the map lies minus infinity. The next band is read while the device works on one.
    """
    height, width = shape
    rows = settings.band_rows or max(1, BAND_PX // width)
    halo = len(disk_half_widths(smoothing_px)) // 2
    columns = mirrored(-halo, width + halo, width)

    def load(top: int) -> Tensor:
        first, last = max(0, top - 1), min(height, top + rows + 1)
        needed = mirrored(first - halo, last + halo, height)
        source = Box(int(needed.min()), 0, int(needed.max()) + 1, width)
        values = np.ascontiguousarray(read(source))
        staged = torch.from_numpy(values)
        uploaded = (staged.pin_memory() if device.type == "cuda" else staged).to(device, non_blocking=True)
        return uploaded.index_select(0, torch.from_numpy(needed - source.top).to(device))

    with ThreadPoolExecutor(1, thread_name_prefix="bands") as reader:
        tops = range(0, height, rows)
        coming = reader.submit(load, 0)
        for top in tops:
            values = coming.result()
            if top + rows < height:
                coming = reader.submit(load, top + rows)
            smoothed = disk_mean(values.index_select(1, torch.from_numpy(columns).to(device)), smoothing_px)
            above, below = int(top == 0), int(top + rows >= height)
            yield F.pad(smoothed, (1, 1, above, below), value=-torch.inf), top


def _peaks_within(framed: Tensor, floor: float, *, first_row: int) -> list[Peak]:
    """Peaks among the inner pixels of `framed`, whose outermost pixels are only compared with."""
    height, width = framed.shape[0] - 2, framed.shape[1] - 2
    inner = framed[1:-1, 1:-1]
    is_peak = (inner >= floor) & (inner > framed[1:-1, :-2]) & (inner >= framed[1:-1, 2:])
    for row, col in NEIGHBOURS_ABOVE_AND_BELOW:
        others = framed[1 + row : 1 + row + height, 1 + col : 1 + col + width]
        is_peak &= inner > others if (row, col) < (0, 0) else inner >= others
    places = is_peak.nonzero()  # (n, 2), in raster order
    scores: list[float] = inner[places[:, 0], places[:, 1]].tolist()
    return [Peak(row + first_row, col, score) for (row, col), score in zip(places.tolist(), scores, strict=True)]
