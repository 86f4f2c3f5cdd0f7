"""Do tiles show? Some places of a finished map, scanned again on a shifted grid, and the largest difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, map_side, plan_tiles, read_box
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.tile_loop import score_tiles
from scanner.maps.probability_map import ProbabilityMap

#: Probabilities may differ so much by the order of float32 additions; DESIGN's figure for maps.
TOLERANCE = 1e-5
_SEED = 20131


@dataclass(frozen=True)
class Verification:
    """Some places of a slide scanned a second time, with other tiles."""

    #: Compared; those that could not be read are not among them.
    places: int
    #: Map px in them.
    map_px: int
    #: Largest difference of a probability.
    max_difference: float
    #: Differences up to this are rounding.
    tolerance: float

    @property
    def holds(self) -> bool:
        """True if no seam of the tiles shows."""
        return self.max_difference <= self.tolerance


def verify_tiling(prepared: PreparedSlide, probability_map: ProbabilityMap, *, places: int) -> Verification:
    """Scan places of a finished map again, each with a tile that lies across those of the scan.

    Parameters
    ----------
    prepared : PreparedSlide
        The slide, as it was scanned.
    probability_map : ProbabilityMap
        What the scan gave.
    places : int
        How many; the same ones every time. A slide with fewer tiles has fewer places.

    Returns
    -------
    Verification
    """
    boxes = choose_places(prepared, places)
    survey, scorer, stride = prepared.survey, prepared.scorer, prepared.frame.stride
    tiles = [Tile(index, box, read_box(box, stride, scorer.context_px)) for index, box in enumerate(boxes)]
    compared, map_px, largest = 0, 0, 0.0
    for scored in score_tiles(scorer, survey.grid.read, tiles, workers=prepared.readers):
        if scored.values is None:
            continue
        box = scored.tile.write
        again = scored.values * survey.tissue.values_for(box)
        largest = max(largest, float(np.abs(again - probability_map.read_layers(box)).max()))
        compared, map_px = compared + 1, map_px + box.area
    return Verification(compared, map_px, largest, TOLERANCE)


def choose_places(prepared: PreparedSlide, places: int) -> list[Box]:
    """Boxes in map px as large as tiles, but shifted; a different random tile with tissue is behind each."""
    frame, rng = prepared.frame, np.random.default_rng(_SEED)
    tiles = plan_tiles(frame, prepared.scorer.context_px, prepared.tile_side)
    boxes = [tile.write for tile in tiles if prepared.survey.tissue.any_in(tile.write)]
    chosen = rng.permutation(len(boxes))[:places]
    side = map_side(prepared.tile_side, frame.stride)
    shape, alignment = (frame.map_height, frame.map_width), prepared.scorer.alignment
    return [_shifted(boxes[index], shape, (side, alignment), rng) for index in chosen]


def _shifted(box: Box, shape: tuple[int, int], grid: tuple[int, int], rng: np.random.Generator) -> Box:
    """A box moved by less than a tile along both axes, and cut off where the map ends; `grid`: (tile, alignment)."""
    side, alignment = grid
    rows, cols = (
        int(rng.integers(1, max(2, min(side, length)))) * int(rng.choice([-1, 1])) for length in (box.height, box.width)
    )
    moved = box.shifted(rows - rows % alignment, cols - cols % alignment).clipped(*shape)
    return moved if moved.area else box
