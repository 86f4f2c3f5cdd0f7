"""A second look at each candidate: its patches turned and mirrored in all eight ways, and the answers averaged.

A figure has no upper side, but no network is quite the same from all sides, and what differs is chance. To average it
away everywhere would cost eight times the scan; at the candidates alone it costs little. The map stays as it is, and
each candidate keeps its raw score.
"""

from __future__ import annotations

import math
from dataclasses import replace

from models.card import ModelCard
from models.symmetry import odd_side
from scanner.dense.symmetric import SymmetricNet
from scanner.detections import Detection, above_threshold, ranked
from scanner.geometry import Box, Frame
from scanner.lanes import FloatMap, StageSeconds
from scanner.probability import Scorer
from scanner.result import PreparedSlide
from scanner.smoothing import smooth_map
from scanner.tile_loop import score_tiles
from scanner.tiles import Tile, read_box

#: The best so many are seen again, of a square millimetre of tissue and of a slide at least: more would cost as much as
#: the scan, and a slide with more has no figures to count.
MOST_PER_MM2, MOST_AT_LEAST = 100, 500

#: Candidates that go through a GPU together; on a CPU each goes alone.
GPU_BATCH = 16


def look_again(prepared: PreparedSlide, candidates: tuple[Detection, ...], *, least: float) -> tuple[Detection, ...]:
    """The candidates, the best of those from `least` upwards with the score of the second look, best first.

    That is the score which a scan by the averaged network would have found at the same place of the smoothed map. A
    candidate whose pixels cannot be read any more keeps the score it has.
    """
    card, frame = prepared.model.card, prepared.frame
    most = max(MOST_AT_LEAST, round(MOST_PER_MM2 * prepared.tissue.area_mm2))
    scorer, promising = averaged(prepared.scorer), above_threshold(candidates, least)[:most]
    places = [_map_pixel(one, frame) for one in promising]
    reach = math.floor(card.smoothing_um / frame.map_mpp)
    boxes = [place.grown(reach).clipped(frame.map_height, frame.map_width) for place in places]
    tiles = [Tile(at, box, read_box(box, frame.stride, scorer.seen)) for at, box in enumerate(boxes)]
    batch_size = GPU_BATCH if scorer.device.type == "cuda" else 1
    found = score_tiles(scorer, prepared.grid.read, tiles, batch_size=batch_size, workers=prepared.readers)
    seen = [
        one if scored.values is None else _seen_again(one, place, scored.tile.write, scored.values, card, frame)
        for one, place, scored in zip(promising, places, found, strict=True)
    ]
    return ranked([*seen, *candidates[len(promising) :]])


def averaged(scorer: Scorer) -> Scorer:
    """The scorer whose network is averaged over its eight symmetries, of every output it is asked for."""
    plain = scorer.everywhere()
    card = replace(plain.card, patch_size=odd_side(plain.card.patch_size))
    return replace(plain, net=SymmetricNet(plain.net), card=card, seconds=StageSeconds())  # Not the scan's seconds.


def _map_pixel(one: Detection, frame: Frame) -> Box:
    row, col = (round(frame.map_from_level0(coordinate)) for coordinate in (one.row, one.col))
    return Box(row, col, row + 1, col + 1)


def _seen_again(one: Detection, place: Box, box: Box, values: FloatMap, card: ModelCard, frame: Frame) -> Detection:
    layer = values[card.mapped.index(one.label)]
    smoothed = smooth_map(
        lambda part: layer[part.shifted(-box.top, -box.left).slices()],
        (frame.map_height, frame.map_width),
        radius_px=card.smoothing_um / frame.map_mpp,
    )
    return replace(one, score=float(smoothed(place)[0, 0]), raw_score=one.score)
