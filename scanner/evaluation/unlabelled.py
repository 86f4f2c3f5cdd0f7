"""Tissue without labels: what is detected far from every figure and every point that readers argued about.

Slides are mostly such tissue, and labelled fields are not, for they were chosen for their figures. So this rate, not
precision, says how many wrong detections a slide will have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.evaluation.intervals import interval_of_share

FloatArray = npt.NDArray[np.float64]

#: Labels reach this far: beyond lies tissue of which nobody said anything.
AWAY_UM = 30.0
#: Distance of the samples that measure the area.
_SAMPLE_UM = 1.0


@dataclass(frozen=True)
class UnlabelledTissue:
    """The tissue of one field that lies away from every label."""

    #: Of the detections there, falling.
    scores: FloatArray  # (N,)
    area_mm2: float

    def count(self, threshold: float) -> int:
        """Detections with a score of at least `threshold`."""
        return int((self.scores >= threshold).sum())


#: Where nothing is known of a field's extent.
NO_TISSUE = UnlabelledTissue(np.zeros(0), 0.0)


def tissue_without_labels(
    places: FloatArray, scores: FloatArray, labels: FloatArray, *, extent_um: tuple[float, float], margin_um: float
) -> UnlabelledTissue:
    """Detections farther than AWAY_UM from every label, and the area that they could lie in.

    Parameters
    ----------
    places, labels : ndarray of shape (N, 2) and (M, 2)
        (row, col) in micrometres from the corner of the field; no detection within `margin_um` of its border.
    scores : ndarray of shape (N,)
        Of the detections, falling.
    extent_um : (float, float)
        Height and width of the field.
    margin_um : float
        Width of the strip along the border, where nothing counts: it is not part of the area.
    """
    is_away = ~_is_near(places[:, 0], places[:, 1], labels)
    inner = [max(0.0, side - 2 * margin_um) for side in extent_um]
    rows, cols = (margin_um + _middles(side) for side in inner)
    share = 1 - float(_is_near(rows[:, None], cols[None], labels).mean()) if rows.size and cols.size else 0.0
    return UnlabelledTissue(scores[is_away], share * inner[0] * inner[1] / 1e6)


def wrong_per_mm2(tissue: Iterable[UnlabelledTissue], *, threshold: float) -> float:
    """Detections of at least `threshold` for every mm2 of all the tissue; 0 if there is none."""
    tissue = tuple(tissue)
    area_mm2 = sum(one.area_mm2 for one in tissue)
    return sum(one.count(threshold) for one in tissue) / area_mm2 if area_mm2 else 0.0


def describe_unlabelled(groups: Sequence[Sequence[UnlabelledTissue]], *, threshold: float) -> dict[str, Any]:
    """Detections for each mm2 of tissue without labels, as JSON, with its bootstrap interval over groups of fields."""
    counts = [sum(one.count(threshold) for one in group) for group in groups]
    areas_mm2 = [sum(one.area_mm2 for one in group) for group in groups]
    rate = wrong_per_mm2((one for group in groups for one in group), threshold=threshold)
    return {
        "unlabelled_per_mm2": round(rate, 3),
        "unlabelled_per_mm2_interval": [round(value, 4) for value in interval_of_share(counts, areas_mm2)],
        "unlabelled_mm2": round(sum(areas_mm2), 4),
    }


def _middles(side_um: float) -> FloatArray:
    """Middles of equal parts of a side, about _SAMPLE_UM each."""
    count = math.ceil(side_um / _SAMPLE_UM)
    return (np.arange(count, dtype=np.float64) + 0.5) * (side_um / max(1, count))


def _is_near(rows: FloatArray, cols: FloatArray, labels: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether places, whose rows and columns are broadcast against each other, lie within AWAY_UM of a label."""
    is_near = np.zeros(np.broadcast_shapes(rows.shape, cols.shape), bool)
    for row, col in labels:  # One by one: all at once would take memory for each label.
        is_near |= (rows - row) ** 2 + (cols - col) ** 2 <= AWAY_UM**2
    return is_near
