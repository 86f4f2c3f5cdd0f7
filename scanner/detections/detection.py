"""Detections: peaks placed on the slide, in level-0 pixels and micrometres."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from models.card import ModelCard
from scanner.geometry.frames import Frame
from scanner.maps.peaks import Peak

#: Ids are made from what they name, so that a second scan gives the same.
ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://mitoscan.invalid/feature")


@dataclass(frozen=True)
class Detection:
    """One figure found on a slide."""

    #: Centre in level-0 px; pixel centres lie on integers.
    row: float
    col: float
    #: The same in micrometres.
    row_um: float
    col_um: float
    #: Smoothed value of the map; not a calibrated probability.
    score: float
    #: Class, as the model's card names it.
    label: str
    #: True if it lies within the card's `margin_um` of the slide's true border: it rests on mirrored tissue.
    border: bool
    #: The map's smoothed value, where the score is another: rescored, or calibrated by the background.
    raw_score: float | None = None

    @property
    def id(self) -> str:
        """The same in every file and answer that this detection is in."""
        return id_of_place(self.row, self.col, self.label)


def id_of_place(row: float, col: float, label: str) -> str:
    """UUID of what was found at level-0 px (row, col).

    Place and class make it, to the decimals that tables have; the score does not, whose last digit is the machine's.
    """
    return str(uuid.uuid5(ID_NAMESPACE, f"{label} {col:.3f} {row:.3f}"))


def detections_from_peaks(
    peaks: Iterable[Peak], frame: Frame, card: ModelCard, *, label: str | None = None
) -> tuple[Detection, ...]:
    """Peaks as detections of a class, the card's target if none is named, ordered by (-score, row, col)."""
    return ranked(_detection_from_peak(peak, frame, card, label or card.target) for peak in peaks)


def ranked(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """Detections ordered by (-score, row, col); those that tie keep their order."""
    return tuple(sorted(detections, key=rank))


def rank(detection: Detection) -> tuple[float, float, float]:
    """Sorts detections by falling score, and equal ones by place."""
    return -detection.score, detection.row, detection.col


def above_threshold(detections: Iterable[Detection], threshold: float) -> tuple[Detection, ...]:
    """Those with a score of at least `threshold`, in the order given."""
    return tuple(detection for detection in detections if detection.score >= threshold)


def counted(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """Those that a mitotic count counts, in the order given: not the ones on the slide's true border."""
    return tuple(detection for detection in detections if not detection.border)


def _detection_from_peak(peak: Peak, frame: Frame, card: ModelCard, label: str) -> Detection:
    row, col = frame.level0_from_map(peak.row), frame.level0_from_map(peak.col)
    return Detection(
        row=row,
        col=col,
        row_um=row * frame.level0_mpp,
        col_um=col * frame.level0_mpp,
        score=peak.score,
        label=label,
        border=_distance_to_border_um(row, col, frame) <= card.margin_um,
    )


def _distance_to_border_um(row: float, col: float, frame: Frame) -> float:
    # Half a pixel beyond the centres of the outermost pixels lies the slide's edge.
    to_top, to_left = row + 0.5, col + 0.5
    nearest_px = min(to_top, to_left, frame.level0_height - to_top, frame.level0_width - to_left)
    return nearest_px * frame.level0_mpp
