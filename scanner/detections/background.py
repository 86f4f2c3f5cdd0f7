"""What tissue without figures scores on a slide, and how far the slide's scores are shifted by it.

On a new slide every score may lie higher or lower than on those that a threshold was chosen on. What the best hundredth
of the positions score is a measure of that which needs no labels: figures are far rarer. It is taken once, from a fixed
sample of the whole slide, so that it depends neither on tiles nor on a mask; the map stays as it is, and each detection
keeps its raw score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from models.card import BackgroundCalibration
from scanner.detections.detection import Detection, ranked
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, read_box
from scanner.inference.coarse_to_fine import COARSE_STRIDE, CoarseToFineScorer
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import Scorer
from scanner.inference.tile_loop import score_tiles
from scanner.maps.probability_map import ProbabilityMap

#: Probabilities are kept this far from 0 and 1: their logits are finite.
EDGE = 1e-6


@dataclass(frozen=True)
class Background:
    """What tissue without figures scores on a slide."""

    #: The card's quantile of the sampled positions' logits.
    score: float
    #: Tissue that was sampled.
    area_mm2: float
    #: Subtracted from the logit of every score.
    shift: float


def measure_background(
    prepared: PreparedSlide, probability_map: ProbabilityMap, unreadable: tuple[Box, ...]
) -> Background | None:
    """The background of a slide whose map is finished; None if the card or the settings ask for none.

    Positions are those of the blocks that the stain was measured on, as far as they hold tissue that could be read, at
    the card's own stride: a scan at a finer one has the same. Where the scan, by a mask or coarse to fine, did not look
    at all of such a block, it is scored for this purpose.
    """
    calibration = prepared.model.card.background
    if calibration is None or not prepared.settings.background:
        return None
    values = np.concatenate([np.zeros(0, np.float32), *_sampled(prepared, probability_map, unreadable)])
    area_mm2 = len(values) * (sample_stride(prepared) * prepared.frame.grid_mpp / 1000) ** 2
    return background_of(values, area_mm2=area_mm2, calibration=calibration)


def background_of(
    values: npt.NDArray[np.float32], *, area_mm2: float, calibration: BackgroundCalibration
) -> Background:
    """The background of a sample.

    Parameters
    ----------
    values : ndarray of shape (n,), float32
        Probabilities of positions on tissue.
    area_mm2 : float
        Their area. The smaller it is, the less it is trusted: on a small field of many figures, figures are a
        hundredth of the positions.
    calibration : BackgroundCalibration
        The card's.
    """
    if not len(values):
        return Background(calibration.reference, 0.0, 0.0)
    score = finite_logit(np.quantile(values.astype(np.float64), calibration.quantile))
    trust = area_mm2 / (area_mm2 + calibration.doubted_mm2)
    shift = trust * calibration.strength * (score - calibration.reference)
    return Background(score, area_mm2, float(np.clip(shift, -calibration.most, calibration.most)))


def subtract_background(detections: tuple[Detection, ...], background: Background | None) -> tuple[Detection, ...]:
    """Detections with their scores on the scale of the card's threshold, best first; the raw scores beside them."""
    if background is None:
        return detections
    shifted = (
        replace(
            one,
            score=float(expit(finite_logit(one.score) - background.shift)),
            raw_score=one.score if one.raw_score is None else one.raw_score,
        )
        for one in detections
    )
    return ranked(shifted)


def raw_from_calibrated(score: float, background: Background | None) -> float:
    """The raw score that `subtract_background` turns into `score`."""
    return score if background is None else float(expit(finite_logit(score) + background.shift))


def finite_logit(probability: float) -> float:
    """Logarithm of the odds, for 0 and 1 as well."""
    return float(logit(np.clip(probability, EDGE, 1 - EDGE)))


def _sampled(
    prepared: PreparedSlide, probability_map: ProbabilityMap, unreadable: tuple[Box, ...]
) -> Iterator[FloatMap]:
    """Probabilities on the readable tissue of the sampled blocks, at the sample's stride."""
    step = sample_stride(prepared) // prepared.frame.stride  # map px from one position to the next
    tissue = prepared.survey.whole_tissue.without(unreadable)
    rest = []
    for block in prepared.survey.sample:
        box = _map_box(block, prepared, step)
        is_tissue = tissue.values_for(box)[::step, ::step]
        if _is_scanned(box, prepared):
            yield probability_map.read(box)[::step, ::step][is_tissue]
        else:
            rest.append((box, is_tissue))
    scorer = _sample_scorer(prepared, step)
    apart = scorer.stride // prepared.frame.stride  # map px from one that is scored to the next
    tiles = [_tile(index, box, apart, scorer) for index, (box, _) in enumerate(rest)]
    found = score_tiles(scorer, prepared.survey.grid.read, tiles, workers=prepared.readers)
    for scored, (_, is_tissue) in zip(found, rest, strict=True):
        if scored.values is not None:
            yield scored.values[0][:: step // apart, :: step // apart][is_tissue]


def sample_stride(prepared: PreparedSlide) -> int:
    """Grid px between two positions of the sample: what the card was calibrated with, wherever the scan has those."""
    usual, own = prepared.model.card.stride, prepared.frame.stride
    return own if usual % own else usual


def _sample_scorer(prepared: PreparedSlide, step: int) -> Scorer:
    """What scores positions that the scan did not look at: every one of its own, or of the sample's where it has it."""
    scorer = prepared.scorer
    if isinstance(scorer, CoarseToFineScorer) and step * scorer.stride == COARSE_STRIDE:
        return scorer.coarse_only()
    return scorer.without_gate()


def _tile(index: int, box: Box, apart: int, scorer: Scorer) -> Tile:
    write = Box(*(-(-edge // apart) for edge in box))
    return Tile(index, write, read_box(write, scorer.stride, scorer.context_px))


def _map_box(block: Box, prepared: PreparedSlide, step: int) -> Box:
    """The map pixels that lie in a block of the grid; the first of them at a multiple of `step`."""
    stride = prepared.frame.stride
    top, left = (-(-edge // (stride * step)) * step for edge in block[:2])
    bottom, right = (-(-edge // stride) for edge in block[2:])
    return Box(top, left, bottom, right).clipped(prepared.frame.map_height, prepared.frame.map_width)


def _is_scanned(box: Box, prepared: PreparedSlide) -> bool:
    """True if the scan looked at all tissue in the box."""
    return not prepared.settings.coarse_to_fine and bool(
        (prepared.survey.tissue.values_for(box) == prepared.survey.whole_tissue.values_for(box)).all()
    )
