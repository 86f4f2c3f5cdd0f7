"""A threshold that travels: chosen for the worst case or scanner, and for tissue that nobody labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scanner.evaluation.curves import trace_curve
from scanner.evaluation.cutouts import ScoredCutouts
from scanner.evaluation.matching import FloatArray, ScoredField
from scanner.evaluation.rules import Rule
from scanner.evaluation.unlabelled import UnlabelledTissue


@dataclass(frozen=True)
class GroupCurve:
    """One case or one scanner: its figure of merit at every threshold that changes it."""

    name: str
    #: Falling. Above the first nothing is detected, and the figure of merit is 0.
    thresholds: FloatArray  # (K,)
    #: F1 of a case, recall of a scanner of cut-out figures.
    merits: FloatArray  # (K,)

    def merits_at(self, thresholds: FloatArray) -> FloatArray:
        """The figure of merit at each of `thresholds`, (N,)."""
        passed = np.searchsorted(-self.thresholds, -thresholds, side="right")
        merits: FloatArray = np.append(0.0, self.merits)[passed]
        return merits


def curves_of_cases(fields: Sequence[ScoredField], rule: Rule) -> list[GroupCurve]:
    """F1 of each case that has figures: without any, no threshold gives a case an F1 above 0."""
    cases = sorted({one.case for one in fields if one.count})
    curves = {case: trace_curve([one for one in fields if one.case == case], rule) for case in cases}
    return [GroupCurve(case, curve.thresholds, curve.f1) for case, curve in curves.items()]


def curves_of_scanners(cutouts: Iterable[ScoredCutouts]) -> list[GroupCurve]:
    """Recall of each scanner: cut-out figures have no tissue around them to be wrong in."""
    curves = []
    for one in cutouts:
        thresholds, counts = np.unique(one.scores[one.scores > 0], return_counts=True)
        recall = np.cumsum(counts[::-1]) / max(1, len(one.scores))
        curves.append(GroupCurve(one.scanner, thresholds[::-1].astype(np.float64), recall))
    return curves


def threshold_at_rate(tissue: Iterable[UnlabelledTissue], *, most_per_mm2: float) -> float:
    """The lowest threshold with at most that many detections for each mm2 of tissue without labels.

    It needs no labels, so it can be had for any scanner and organ. 0 where even the lowest score passes, or where there
    is no tissue.

    Parameters
    ----------
    tissue : iterable of UnlabelledTissue
    most_per_mm2 : float
        Of all the tissue together.
    """
    tissue = tuple(tissue)
    area_mm2 = sum(one.area_mm2 for one in tissue)
    scores = -np.sort(-np.concatenate([np.zeros(0), *(one.scores for one in tissue)]))
    allowed = int((np.arange(1, len(scores) + 1) <= most_per_mm2 * area_mm2).sum())
    if not area_mm2 or allowed == len(scores):
        return 0.0
    return float(np.nextafter(scores[allowed], np.inf))


def steadiest_threshold(
    groups: Sequence[GroupCurve], tissue: Iterable[UnlabelledTissue] = (), *, most_per_mm2: float = np.inf
) -> float:
    """The threshold at which the worst group fares best, with at most so many detections on tissue without labels.

    The worst group counts, not the pooled mean. The next slide is one case from one scanner, and what decides is
    whether the threshold suits it. Pooled counts are mostly those of the largest cases, and a threshold that fails on
    a whole case of few figures hardly lowers them. Where the worst fares the same, the second worst decides, and so
    on: a case in which no threshold finds anything must not leave the choice to chance. The bound on unlabelled tissue
    holds the other end: recall on cut-out figures alone would take the lowest threshold there is.

    Parameters
    ----------
    groups : sequence of GroupCurve
        Cases and scanners, from `curves_of_cases` and `curves_of_scanners`.
    tissue : iterable of UnlabelledTissue
        All of it together keeps the bound.
    most_per_mm2 : float

    Returns
    -------
    float
        Of several thresholds that are equally good for all groups the highest, then the middle between its lowest
        detection and the next score below, for the detections are the same in between. The lowest that keeps the
        bound, if no group has a score there.
    """
    least = threshold_at_rate(tissue, most_per_mm2=most_per_mm2)
    scores = np.unique(np.concatenate([np.zeros(0), *(one.thresholds for one in groups)]))
    falling = scores[scores >= least][::-1]
    if not len(falling):
        return least
    merits = np.sort([one.merits_at(falling) for one in groups], axis=0)  # (G, N), the worst group first.
    # By the worst, then the second worst, ...; lexsort takes its last key first, and leaves equals in their order.
    best = int(np.lexsort(-merits[::-1])[0])
    below = float(falling[best + 1]) if best + 1 < len(falling) else least
    middle = (float(falling[best]) + below) / 2
    return middle if middle > below else float(falling[best])  # Neighbours among floats have no middle.


def worst_group(groups: Sequence[GroupCurve], threshold: float) -> tuple[str, float]:
    """Name and figure of merit of the group that fares worst at a threshold; the first by name of equals."""
    merits = {one.name: float(one.merits_at(np.array([threshold]))[0]) for one in groups}
    return min(sorted(merits.items()), key=lambda pair: pair[1])
