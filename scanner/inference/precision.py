"""How far the scores of a scan in few bits are from those in float32: measured on the slide itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scanner.errors import UnreadableRegionError
from scanner.geometry.frames import Box
from scanner.geometry.tiles import plan_tiles, read_box
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import prepare_scorer

#: Map px a side of each area that is scored both ways, and how many areas there are.
SIDE, PLACES = 64, 4


@dataclass(frozen=True)
class PrecisionCost:
    """How far a scan's probabilities are from those in float32."""

    #: The precision of the scan.
    name: str
    #: Compared.
    map_px: int
    max_difference: float
    mean_difference: float


def measure_precision(prepared: PreparedSlide) -> PrecisionCost | None:
    """The largest and the mean difference of a probability from float32's; None for a scan in float32.

    The places are the middles of tiles with tissue, evenly spread over the plan: the same ones every time.
    """
    name = prepared.settings.precision
    if name == "float32":
        return None
    exact = prepare_scorer(
        prepared.model,
        prepared.survey.statistics.stain,
        stride=prepared.frame.stride,
        device=str(prepared.scorer.device),
        engine=prepared.settings.engine,
    )
    exact = replace(exact, slide_name=prepared.scorer.slide_name)
    asked = prepared.scorer.without_gate()
    differences = []
    for box in _places(prepared):
        try:
            read = read_box(box, prepared.frame.stride, prepared.model.card.patch_size)
            pixels = prepared.survey.grid.read(read)
        except UnreadableRegionError:
            continue
        found, expected = asked(pixels[None]), exact(pixels[None])
        for scorer, values in ((asked, found), (exact, expected)):
            scorer.refuse_non_finite(values, read)
        differences.append(np.abs(found - expected).ravel())
    off = np.concatenate(differences) if differences else np.zeros(1, np.float32)
    map_px = sum(part.size for part in differences)
    return PrecisionCost(name, map_px, float(off.max()), float(off.mean(dtype=np.float64)))


def _places(prepared: PreparedSlide) -> list[Box]:
    """Boxes in map px."""
    tiles = plan_tiles(prepared.frame, prepared.model.card.patch_size, prepared.tile_side)
    boxes = [tile.write for tile in tiles if prepared.survey.tissue.any_in(tile.write)]
    chosen = [boxes[index] for index in range(0, len(boxes), max(1, len(boxes) // PLACES))][:PLACES]
    return [_middle(box) for box in chosen]


def _middle(box: Box) -> Box:
    height, width = min(SIDE, box.height), min(SIDE, box.width)
    top, left = box.top + (box.height - height) // 2, box.left + (box.width - width) // 2
    return Box(top, left, top + height, left + width)
