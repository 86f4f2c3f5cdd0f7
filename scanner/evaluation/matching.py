"""Which detections are right: contest rules, and the one way of matching that they share.

Detections are taken by falling score; each is right if an unused figure lies within the rule's radius, and uses up the
nearest such figure. So the matches at a threshold are those of all detections, cut off at the threshold.

Figures and detections within the card's `margin_um` of the field's border do not count: half of what is seen there is
mirrored. A detection that only such a figure explains is neither right nor wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from scanner.evaluation.rules import Rule
from scanner.evaluation.unlabelled import NO_TISSUE, UnlabelledTissue

FloatArray = npt.NDArray[np.float64]

#: Detections are kept down to here, so that curves are long enough and any threshold above can be chosen afterwards.
FLOOR = 0.02


class Verdict(IntEnum):
    """What a detection is."""

    WRONG = 0
    RIGHT = 1
    NOT_COUNTED = 2  # explained by a figure that does not count: at the border, or judged by nobody


@dataclass(frozen=True)
class ScoredField:
    """What was found in a labelled field, and what is there."""

    name: str
    case: str
    area_mm2: float
    #: Detections (row, col) in micrometres, by falling score; none at the border.
    detections: FloatArray  # (N, 2)
    scores: FloatArray  # (N,)
    #: Figures (row, col) in micrometres.
    figures: FloatArray  # (M, 2)
    #: Which figures do not count: those at the border, and points that nobody has judged.
    uncounted: npt.NDArray[np.bool_]  # (M,)
    #: What was found away from every figure and every disputed point.
    unlabelled: UnlabelledTissue = NO_TISSUE

    @property
    def count(self) -> int:
        """Figures that count."""
        return int((~self.uncounted).sum())


def assign(field: ScoredField, rule: Rule) -> npt.NDArray[np.intp]:
    """Index of the figure that each detection of a field is right about, -1 for none: (N,)."""
    return pair_up(field.detections, field.figures, radius_um=rule.radius_um)


def pair_up(places: FloatArray, partners: FloatArray, *, radius_um: float) -> npt.NDArray[np.intp]:
    """Index of the nearest partner, not taken before, of each place in turn; -1 where none is within `radius_um`.

    Parameters
    ----------
    places, partners : ndarray of shape (N, 2) and (M, 2)
        In micrometres.

    Returns
    -------
    ndarray of shape (N,)
    """
    paired = np.full(len(places), -1, dtype=np.intp)
    if not len(places) or not len(partners):
        return paired
    is_free = np.ones(len(partners), dtype=bool)
    # A hair wider than the radius: the tree rounds otherwise than the distance below, which decides.
    within = cKDTree(partners).query_ball_point(places, radius_um * (1 + 1e-9), return_sorted=True)
    for index, near in enumerate(within):
        free = [partner for partner in near if is_free[partner]]
        distance = np.linalg.norm(partners[free] - places[index], axis=1)
        if distance.min(initial=np.inf) <= radius_um:
            paired[index] = free[int(distance.argmin())]
            is_free[paired[index]] = False
    return paired


def is_at_border(points: FloatArray, shape: tuple[int, int], margin_px: float) -> npt.NDArray[np.bool_]:
    """Which points (row, col), (N, 2), lie within `margin_px` of the border of a field of (height, width): (N,)."""
    # Half a pixel beyond the centres of the outermost pixels lies the field's edge, as for detections.
    before = (points + 0.5).min(axis=1, initial=np.inf)
    after = (np.array(shape) - points - 0.5).min(axis=1, initial=np.inf)
    at_border: npt.NDArray[np.bool_] = np.minimum(before, after) <= margin_px
    return at_border


def best_scores(places: FloatArray, scores: FloatArray, points: FloatArray, *, radius_um: float) -> FloatArray:
    """The best score within `radius_um` of each point, 0 where there is none; points do not compete for detections.

    Parameters
    ----------
    places, points : ndarray of shape (N, 2) and (M, 2)
        In micrometres.
    scores : ndarray of shape (N,)

    Returns
    -------
    ndarray of shape (M,)
    """
    near = (scores[np.linalg.norm(places - point, axis=1) <= radius_um] for point in points)
    return np.array([own.max(initial=0.0) for own in near], dtype=np.float64)


def match(field: ScoredField, rule: Rule) -> npt.NDArray[np.int8]:
    """The verdict on each detection of a field, in their order: int8 (N,)."""
    assigned = assign(field, rule)
    verdicts = np.where(assigned >= 0, Verdict.RIGHT, Verdict.WRONG)
    is_uncounted = np.append(field.uncounted, False)[assigned]  # -1: no figure
    verdicts[is_uncounted] = Verdict.NOT_COUNTED
    return verdicts.astype(np.int8)


def missed_figures(field: ScoredField, rule: Rule, *, threshold: float) -> FloatArray:
    """Counting figures (row, col) in micrometres that no detection of at least `threshold` is right about."""
    is_missed = ~field.uncounted
    is_missed[np.setdiff1d(assign(field, rule)[field.scores >= threshold], -1)] = False
    return field.figures[is_missed]
