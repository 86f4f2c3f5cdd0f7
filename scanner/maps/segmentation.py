"""Segmentation: the class of every map pixel, and how much area each class takes.

A position belongs to the class whose smoothed map is highest there, if that reaches the threshold, and else to the
class that has no map. Classes follow from smoothed values alone, so they do not depend on how the map is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from models.card import ModelCard
from scanner.geometry.frames import Box, Frame
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.smoothing import ReadMap, smooth_map
from scanner.survey.tissue import TissueMask

Labels = npt.NDArray[np.uint8]
#: Box within the map, in map px -> its labels, uint8 (h, w): the index of a class on the card, or NOT_SCANNED.
ReadLabels = Callable[[Box], Labels]

#: Label of what was not scanned, or could not be read.
NOT_SCANNED = 255
#: Map pixels that are labelled at once.
BAND_PX = 2**21


@dataclass(frozen=True)
class ClassArea:
    """How much of the scanned area a class takes."""

    name: str
    #: The class in a label image.
    label: int
    area_mm2: float
    #: Of the scanned area.
    share: float


@dataclass(frozen=True)
class Segmentation:
    """The class of every map pixel, and the areas of all classes, in the card's order."""

    read: ReadLabels
    areas: tuple[ClassArea, ...]
    frame: Frame


def segment(probability_map: ProbabilityMap, tissue: TissueMask, card: ModelCard, *, threshold: float) -> Segmentation:
    """The segmentation that the maps of a scan give.

    Parameters
    ----------
    probability_map : ProbabilityMap
        A layer for each class that the card maps.
    tissue : TissueMask
        What was scanned and could be read.
    card : ModelCard
    threshold : float
        A class is taken where its smoothed map reaches this. Ignored if every class of the card has a map.
    """
    layers = smoothed_layers(probability_map, card)

    def read(box: Box) -> Labels:
        labels = label_values(np.stack([layer(box) for layer in layers]), card, threshold=threshold)
        return np.where(tissue.values_for(box), labels, np.uint8(NOT_SCANNED))

    counts = _count_labels(read, probability_map.shape)[: len(card.classes)]
    shares = (counts / max(1, counts.sum())).tolist()
    areas = tuple(
        ClassArea(name, label, share * tissue.scanned_mm2, share)
        for label, (name, share) in enumerate(zip(card.classes, shares, strict=True))
    )
    return Segmentation(read, areas, probability_map.frame)


def smoothed_layers(probability_map: ProbabilityMap, card: ModelCard) -> list[ReadMap]:
    """A reader of each smoothed layer."""
    radius_px, shape = card.smoothing_um / probability_map.frame.map_mpp, probability_map.shape
    return [
        smooth_map(partial(probability_map.read, layer=layer), shape, radius_px=radius_px)
        for layer in range(probability_map.layers)
    ]


def label_values(values: npt.NDArray[np.float32], card: ModelCard, *, threshold: float) -> Labels:
    """The class of each position by its smoothed values, (layers, h, w) -> uint8 (h, w); ties go to the first layer."""
    mapped = np.array([card.classes.index(name) for name in card.mapped], np.uint8)
    labels: Labels = mapped[values.argmax(axis=0)]
    rest = [label for label, name in enumerate(card.classes) if name not in card.mapped]
    return np.where(values.max(axis=0) >= threshold, labels, np.uint8(rest[0])) if rest else labels


def sample_labels(segmentation: Segmentation, shape: tuple[int, int], *, px_um: float) -> Labels:
    """The labels at the centres of a picture's pixels.

    Parameters
    ----------
    segmentation : Segmentation
    shape : (int, int)
        Height and width of the picture, which starts at the slide's top left.
    px_um : float
        Micrometres per pixel of the picture.

    Returns
    -------
    ndarray of shape `shape`, uint8
    """
    frame = segmentation.frame
    rows, cols = (
        np.minimum((np.arange(count) + 0.5) * px_um / frame.map_mpp, length - 1).astype(np.intp)
        for count, length in zip(shape, (frame.map_height, frame.map_width), strict=True)
    )
    sampled = np.empty(shape, np.uint8)
    band_rows = max(1, BAND_PX * shape[0] // (frame.map_height * frame.map_width))
    for top in range(0, shape[0], band_rows):
        wanted = rows[top : top + band_rows]
        band = segmentation.read(Box(int(wanted[0]), 0, int(wanted[-1]) + 1, frame.map_width))
        sampled[top : top + band_rows] = band[wanted - wanted[0]][:, cols]
    return sampled


def _count_labels(read: ReadLabels, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    rows = max(1, BAND_PX // shape[1])
    bands = (read(Box(top, 0, min(top + rows, shape[0]), shape[1])) for top in range(0, shape[0], rows))
    counts: npt.NDArray[np.int64] = sum(
        (np.bincount(band.ravel(), minlength=256) for band in bands), np.zeros(256, np.int64)
    )
    return counts
