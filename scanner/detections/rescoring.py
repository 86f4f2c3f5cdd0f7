"""Candidates rescored with symmetries (test-time augmentation): the average over eight turned and mirrored patches.

A figure has no upper side, but no network is quite the same from all sides, and what differs is chance. To average it
away at every position would cost eight times the scan; at the candidates alone it costs little. The map stays as it is,
and each candidate keeps its raw score.
"""

from __future__ import annotations

import math
from dataclasses import replace

from models.card import ModelCard
from models.symmetry import odd_side
from scanner.dense.symmetric import SymmetricNet
from scanner.detections.detection import Detection, above_threshold, ranked
from scanner.detections.kept_scores import KeptScores
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box, Frame
from scanner.geometry.tiles import Tile, read_box
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import ScanProgress, Stage
from scanner.inference.scorer import Scorer
from scanner.inference.tile_loop import score_tiles
from scanner.maps.smoothing import smooth_map

#: The best so many are rescored, of a square millimetre of tissue and of a slide at least: more would cost as much as
#: the scan, and a slide with more has no figures to count.
MOST_PER_MM2, MOST_AT_LEAST = 100, 500

#: Candidates that go through a GPU together; on a CPU each goes alone.
GPU_BATCH = 16


def rescore(
    prepared: PreparedSlide,
    candidates: tuple[Detection, ...],
    *,
    least: float,
    kept: KeptScores,
    progress: ScanProgress,
) -> tuple[Detection, ...]:
    """The candidates, the best of those from `least` upwards with the averaged score, best first.

    That is the score which a scan by the averaged network would have found at the same place of the smoothed map. A
    candidate whose pixels cannot be read any more keeps the score it has. Scores are kept as they are found: a scan
    that is stopped meanwhile goes on with the next candidate.
    """
    card, frame = prepared.model.card, prepared.frame
    most = max(MOST_AT_LEAST, round(MOST_PER_MM2 * prepared.survey.tissue.area_mm2))
    scorer, promising = averaged(prepared.scorer), above_threshold(candidates, least)[:most]
    places = [_map_pixel(one, frame) for one in promising]
    reach = math.floor(card.smoothing_um / frame.map_mpp)
    boxes = [place.grown(reach).clipped(frame.map_height, frame.map_width) for place in places]
    tiles = [Tile(at, box, read_box(box, frame.stride, scorer.context_px)) for at, box in enumerate(boxes)]
    known = [kept.of(one) for one in promising]
    missing = [tile for tile, score in zip(tiles, known, strict=True) if score is None]
    batch_size = GPU_BATCH if scorer.device.type == "cuda" else 1
    progress.enter(Stage.RESCORING)
    found = score_tiles(scorer, prepared.survey.grid.read, missing, batch_size=batch_size, workers=prepared.readers)
    for count, scored in enumerate(found, start=1):
        at = scored.tile.index
        if scored.values is not None:
            known[at] = score = _score_again(promising[at], places[at], scored.tile.write, scored.values, card, frame)
            kept.keep(promising[at], score)
        progress.enter(Stage.RESCORING, count / len(missing))
    rescored = [
        one if score is None else replace(one, score=score, raw_score=one.score)
        for one, score in zip(promising, known, strict=True)
    ]
    return ranked([*rescored, *candidates[len(promising) :]])


def averaged(scorer: Scorer) -> Scorer:
    """The scorer whose network is averaged over its eight symmetries, of every output it is asked for."""
    plain = scorer.without_gate()
    card = replace(plain.card, patch_size=odd_side(plain.card.patch_size))
    return replace(plain, net=SymmetricNet(plain.net), card=card)


def _map_pixel(one: Detection, frame: Frame) -> Box:
    row, col = (round(frame.map_from_level0(coordinate)) for coordinate in (one.row, one.col))
    return Box(row, col, row + 1, col + 1)


def _score_again(one: Detection, place: Box, box: Box, values: FloatMap, card: ModelCard, frame: Frame) -> float:
    layer = values[card.mapped.index(one.label)]
    smoothed = smooth_map(
        lambda part: layer[part.shifted(-box.top, -box.left).slices()],
        (frame.map_height, frame.map_width),
        radius_px=card.smoothing_um / frame.map_mpp,
    )
    return float(smoothed(place)[0, 0])
