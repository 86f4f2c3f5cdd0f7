"""From a finished map to counted figures: background, candidates, rescoring, detections, hotspots."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.detections.background import (
    Background,
    measure_background,
    raw_from_calibrated,
    subtract_background,
)
from scanner.detections.candidates import find_candidates
from scanner.detections.detection import Detection, above_threshold
from scanner.detections.hotspots import Hotspot, find_hotspots
from scanner.detections.kept_scores import KeptScores
from scanner.detections.rescoring import rescore
from scanner.geometry.frames import Box
from scanner.geometry.windows import window_from_text
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import ScanProgress
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.segmentation import Segmentation, segment
from scanner.survey.tissue import TissueMask


@dataclass(frozen=True)
class Figures:
    """What a map shows."""

    #: As far as it could be read.
    tissue: TissueMask
    detections: tuple[Detection, ...] = ()
    candidates: tuple[Detection, ...] = ()
    hotspots: tuple[Hotspot, ...] = ()
    background: Background | None = None
    segmentation: Segmentation | None = None


def find_figures(
    prepared: PreparedSlide,
    probability_map: ProbabilityMap,
    unreadable: tuple[Box, ...],
    *,
    kept: KeptScores,
    progress: ScanProgress,
) -> Figures:
    """Detections and hotspots of a finished map; of a model that segments, the class of every position instead.

    Parameters
    ----------
    prepared : PreparedSlide
    probability_map : ProbabilityMap
    unreadable : tuple of Box
        Map boxes that could not be read: they are no tissue without figures.
    kept : KeptScores
        Averaged scores that an earlier run of the same scan has computed.
    progress : ScanProgress
    """
    settings, card = prepared.settings, prepared.model.card
    readable = prepared.survey.tissue.without(unreadable)
    if card.task == "segmentation":
        classes = segment(probability_map, readable, card, threshold=prepared.threshold)
        return Figures(readable, segmentation=classes)
    background = measure_background(prepared, probability_map, unreadable)
    floor = raw_from_calibrated(settings.candidate_floor, background)
    candidates = find_candidates(probability_map, card, floor=floor, device=prepared.scorer.device)
    if card.second_look is not None:
        least = raw_from_calibrated(card.second_look, background)
        rescored = rescore(prepared, candidates, least=least, kept=kept, progress=progress)
        candidates = above_threshold(rescored, floor)  # Some of them score less on average.
    candidates = subtract_background(candidates, background)
    detections = above_threshold(candidates, prepared.threshold)
    hotspots = find_hotspots(detections, readable, window=window_from_text(settings.hotspot), top=settings.hotspots)
    return Figures(readable, detections, candidates, hotspots, background)
