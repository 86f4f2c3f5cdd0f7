"""Candidates: the peaks of the smoothed maps, as detections, whatever their score."""

from __future__ import annotations

from functools import partial

import torch

from models.card import ModelCard
from scanner.detections.detection import Detection, detections_from_peaks, ranked
from scanner.maps.peaks import PeakSettings, find_map_peaks
from scanner.maps.peaks_on_gpu import find_peaks_on_gpu
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.smoothing import smooth_map


def find_candidates(
    probability_map: ProbabilityMap, card: ModelCard, *, floor: float, device: torch.device
) -> tuple[Detection, ...]:
    """Every peak of the smoothed maps from `floor` upwards, as detections; the same ones on every device.

    Each class has its own peaks: those of one do not suppress those of another.
    """
    frame, shape = probability_map.frame, probability_map.shape
    radius_px, settings = card.smoothing_um / frame.map_mpp, PeakSettings(floor, card.radius_um / frame.map_mpp)
    found: list[Detection] = []
    for layer, label in enumerate(card.mapped):
        read = partial(probability_map.read, layer=layer)
        peaks = find_peaks_on_gpu(read, shape, settings, smoothing_px=radius_px, device=device)
        if peaks is None:
            peaks = find_map_peaks(smooth_map(read, shape, radius_px=radius_px), shape, settings)
        found += detections_from_peaks(peaks, frame, card, label=label)
    return ranked(found)
