"""How far a scan is: tiles, and the area in them that is scanned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scanner.geometry.tiles import Tile
from scanner.result import Progress
from scanner.survey.tissue import TissueMask


class Tally:
    """Counts tiles and the scanned area in them."""

    def __init__(self, tissue: TissueMask, tiles: Sequence[Tile]) -> None:
        self.tiles = 0
        self._total = len(tiles)
        self._mm2 = 0.0
        self._tissue = tissue
        self._mm2_total = sum(self._area(tile) for tile in tiles)

    @property
    def progress(self) -> Progress:
        """What has been added so far, of all."""
        return Progress(self.tiles, self._total, self._mm2, self._mm2_total)

    def add(self, tile: Tile) -> Progress:
        """Count a tile as done."""
        self.tiles += 1
        self._mm2 += self._area(tile)
        return self.progress

    def _area(self, tile: Tile) -> float:
        scanned = int(np.count_nonzero(self._tissue.values_for(tile.write)))
        return scanned * (self._tissue.frame.map_mpp / 1000) ** 2
