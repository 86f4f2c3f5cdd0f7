"""What a batch would cost: area, tiles, memory and time of every slide, before the first is scanned."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from scanner.batch.batch import BatchOrder, survey_or_skip
from scanner.batch.finished import FinishedScan
from scanner.batch.outcomes import assumed_mpp
from scanner.batch.worklist import Job
from scanner.dense import PatchwiseNet
from scanner.dense.zones import ZonedNet
from scanner.geometry.tiles import Tile, map_side
from scanner.inference.engine import describe_network
from scanner.inference.memory import choose_tile_side, memory_bound
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import Scorer
from scanner.inference.scoring import tiles_to_scan
from scanner.settings import ScanSettings, scan_stride

#: Side, in outputs, of the tile that slow networks (patch by patch, or by zones) are timed on.
_PATCHES_PROBED = 16
#: Peaks, pyramids and pictures, measured on one core: seconds per million map px of the whole slide.
POST_SECONDS = 0.15


@dataclass(frozen=True)
class MemoryStatement:
    """What a scan needs of its device."""

    #: On a CPU of the whole process, on a GPU of the device.
    bytes: int
    device: str
    #: Side of a tile, in grid px.
    tile_side: int
    #: How the network runs.
    network: str


@dataclass(frozen=True)
class Estimate:
    """What the scan of one slide would cost."""

    #: Its path, and which of its images.
    name: str
    slide_mm2: float
    tissue_mm2: float
    #: Tissue and a rim around it.
    scan_mm2: float
    #: Height and width of the grid, in px.
    grid: tuple[int, int]
    tiles: int
    seconds: float
    #: A finished scan is there, and would not be repeated.
    is_done: bool = False
    #: The model's mpp, where the image states none.
    assumed_mpp: float | None = None


def state_memory(order: BatchOrder) -> MemoryStatement:
    """The memory that every scan of a batch needs at most, whatever its slide.

    Raises
    ------
    SettingsError
        The tile does not fit the machine, or there is no such device.
    """
    settings, scorer = ScanSettings(**order.keywords), order.scorer
    side = choose_tile_side(scorer, settings, scan_stride(settings, order.model.card.stride))
    bound = memory_bound(scorer, settings, side=side)
    return MemoryStatement(bound, str(scorer.device), side, describe_network(scorer.net))


class Estimator:
    """Estimates of many slides, of which the network is timed once."""

    def __init__(self, order: BatchOrder) -> None:
        self._order = order
        self._seconds_of_tile: dict[tuple[int, int], float] = {}

    def estimate(self, job: Job) -> Estimate:
        """What the scan of one slide would cost; opens and surveys it, and writes nothing.

        Raises
        ------
        ScannerError
            What the scan would fail with.
        """
        surveyed = survey_or_skip(job, self._order)
        if isinstance(surveyed, FinishedScan):
            areas, assumed = surveyed.areas_mm2, surveyed.assumed_mpp
            return Estimate(job.name, *areas, surveyed.grid, 0, 0.0, is_done=True, assumed_mpp=assumed)
        with surveyed.slide:
            prepared = self._order.prepare(surveyed)
            tiles, frame = tiles_to_scan(prepared), prepared.frame
            seconds = sum(one.wall for one in prepared.spent.values()) + self._tile_seconds(prepared, tiles)
        seconds += POST_SECONDS * frame.map_height * frame.map_width / 1e6
        grid, tissue = (frame.grid_height, frame.grid_width), prepared.survey.tissue
        assumed = assumed_mpp({"mpp": frame.level0_mpp, "mpp_source": prepared.survey.mpp_source})
        areas = frame.area_mm2, tissue.area_mm2, tissue.scanned_mm2
        return Estimate(job.name, *areas, grid, len(tiles), seconds, assumed_mpp=assumed)

    def _tile_seconds(self, prepared: PreparedSlide, tiles: list[Tile]) -> float:
        """Seconds of all tiles: of the network or of the readers beside it, whichever is slower."""
        if not tiles:
            return 0.0
        side, stride = prepared.tile_side, prepared.frame.stride
        if (side, stride) not in self._seconds_of_tile:
            self._seconds_of_tile[side, stride] = time_network(prepared.scorer, side, stride)
        started = time.perf_counter()
        prepared.survey.grid.read(tiles[len(tiles) // 2].read)
        reading = (time.perf_counter() - started) / prepared.readers
        whole = sum(tile.write.area for tile in tiles) / map_side(side, stride) ** 2
        return whole * max(self._seconds_of_tile[side, stride], reading)


def time_network(scorer: Scorer, side: int, stride: int) -> float:
    """Seconds that the network needs for a tile of that side, measured on one, the second: the first sets it up."""
    is_slow = isinstance(getattr(scorer.net, "inner", scorer.net), (PatchwiseNet, ZonedNet))
    probe_side = min(side, _PATCHES_PROBED * stride) if is_slow else side
    length = (map_side(probe_side, stride) - 1) * stride + scorer.context_px
    shape = (1, length, length, scorer.card.normalisation.pixel_channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    scorer(pixels)
    started = time.perf_counter()
    scorer(pixels)
    seconds = time.perf_counter() - started
    return seconds * (map_side(side, stride) / map_side(probe_side, stride)) ** 2
