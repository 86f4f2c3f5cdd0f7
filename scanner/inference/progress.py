"""How far a scan is: told to its caller, who may also stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from scanner.errors import ScanCancelledError
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile
from scanner.maps.probability_map import ProbabilityMap
from scanner.stage_clock import StageClock
from scanner.survey.tissue import TissueMask


class Stage(StrEnum):
    """What a scan does."""

    NETWORK = "network"
    FIGURES = "figures"  # background, peaks; the classes of a segmentation
    RESCORING = "rescoring"  # candidates, with the eight symmetries
    CHECKS = "checks"  # places scanned with other tiles, and what reduced precision costs
    FILES = "files"


@dataclass(frozen=True)
class Progress:
    """How far a scan is."""

    tiles_done: int
    tiles_total: int
    #: Scanned area so far, and in all.
    mm2_done: float
    mm2_total: float
    stage: Stage = Stage.NETWORK
    #: Done of a stage after the network, 0 to 1.
    stage_share: float = 0.0

    @property
    def is_after_network(self) -> bool:
        """True once all tiles are scored."""
        return self.stage is not Stage.NETWORK


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


class ScanProgress:
    """Counts what a scan has done, tells its caller, and ends the scan when the caller wants no more of it."""

    def __init__(
        self,
        slide_name: str,
        tissue: TissueMask,
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
        clock: StageClock | None = None,
    ) -> None:
        self._clock = clock or StageClock(Stage.NETWORK)
        self._slide_name = slide_name
        self._tissue = tissue
        self._on_progress = on_progress or (lambda _: None)
        self._should_stop = should_stop or (lambda: False)
        self._progress = Progress(0, 0, 0.0, 0.0)
        #: Callers may rely on being called by one thread.
        self._thread = threading.get_ident()

    def plan(self, tiles: Sequence[Tile], *, scored: Iterable[Tile]) -> None:
        """Begin with these tiles, of which some are scored already."""
        self._progress = planned(self._tissue, tiles)
        for tile in scored:
            self._count(tile)

    def tile_scored(self, tile: Tile) -> None:
        """Count a tile, and tell the caller."""
        self._count(tile)
        self._on_progress(self._progress)

    def stop_if_asked(self) -> None:
        """Raise ScanCancelledError if the caller wants no more tiles."""
        if self._should_stop():
            done, total = self._progress.tiles_done, self._progress.tiles_total
            raise ScanCancelledError(f"{self._slide_name}: cancelled after {done} of {total} tiles")

    def enter(self, stage: Stage, share: float = 0.0) -> None:
        """Tell the caller that so much of a stage after the network is done.

        Raises
        ------
        ScanCancelledError
            The caller wants no more.
        """
        if self._should_stop():
            raise ScanCancelledError(f"{self._slide_name}: cancelled after the network, in stage {stage!s}")
        self._clock.enter(stage)
        self._progress = replace(self._progress, stage=stage, stage_share=share)
        self._on_progress(self._progress)

    def follow(self, probability_map: ProbabilityMap) -> None:
        """Measure the stages after the network by what they read of the map, from top to bottom."""
        height = probability_map.shape[0]

        def on_read(box: Box) -> None:
            # Rescoring counts candidates; a picture that another thread draws is no stage of its own.
            if threading.get_ident() == self._thread and self._progress.stage is not Stage.RESCORING:
                self.enter(self._progress.stage, min(1.0, box.top / height))

        probability_map.on_read = on_read

    def _count(self, tile: Tile) -> None:
        before = self._progress
        mm2 = before.mm2_done + scanned_mm2(self._tissue, tile)
        self._progress = replace(before, tiles_done=before.tiles_done + 1, mm2_done=mm2)


def planned(tissue: TissueMask, tiles: Iterable[Tile]) -> Progress:
    """The progress of a scan of these tiles, before the first of them."""
    areas = [scanned_mm2(tissue, tile) for tile in tiles]
    return Progress(0, len(areas), 0.0, sum(areas))


def scanned_mm2(tissue: TissueMask, tile: Tile) -> float:
    """Area of a tile that the network is asked about."""
    cells = int(np.count_nonzero(tissue.values_for(tile.write)))
    return cells * (tissue.frame.map_mpp / 1000) ** 2
