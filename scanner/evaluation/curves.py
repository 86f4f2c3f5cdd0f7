"""From verdicts to scores: counts at a threshold, precision and recall at every threshold, intervals by case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.evaluation.intervals import Interval, interval_of_share
from scanner.evaluation.matching import ScoredField, Verdict, match
from scanner.evaluation.rules import Rule
from scanner.labels.cases import patient_of

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Right and wrong detections, and figures, at one threshold."""

    right: int
    wrong: int
    figures: int

    @property
    def precision(self) -> float:
        """Share of the detections that are right; 0 without detections."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Share of the figures that are found; 0 without figures."""
        return self.right / max(1, self.figures)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(1, self.right + self.wrong + self.figures)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.wrong + other.wrong, self.figures + other.figures)


@dataclass(frozen=True)
class Curve:
    """Counts at every threshold that changes them, thresholds falling."""

    thresholds: FloatArray  # (K,)
    right: npt.NDArray[np.int64]  # (K,)
    wrong: npt.NDArray[np.int64]  # (K,)
    figures: int
    area_mm2: float

    @property
    def precision(self) -> FloatArray:
        """At each threshold."""
        precision: FloatArray = self.right / np.maximum(1, self.right + self.wrong)
        return precision

    @property
    def recall(self) -> FloatArray:
        """At each threshold."""
        recall: FloatArray = self.right / max(1, self.figures)
        return recall

    @property
    def f1(self) -> FloatArray:
        """At each threshold."""
        f1: FloatArray = 2 * self.right / np.maximum(1, self.right + self.wrong + self.figures)
        return f1

    @property
    def wrong_per_mm2(self) -> FloatArray:
        """At each threshold: the other axis of a FROC curve."""
        rate: FloatArray = self.wrong / self.area_mm2
        return rate

    @property
    def average_precision(self) -> float:
        """Area under precision over recall, in steps, not interpolated."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))


def trace_curve(fields: Iterable[ScoredField], rule: Rule) -> Curve:
    """The curve of all detections of `fields` together."""
    fields = tuple(fields)
    scores = np.concatenate([np.zeros(0), *(one.scores for one in fields)])
    verdicts = np.concatenate([np.zeros(0, np.int8), *(match(one, rule) for one in fields)])
    order = np.argsort(-scores, kind="stable")
    scores, verdicts = scores[order], verdicts[order]
    last = np.flatnonzero(np.diff(scores, append=-np.inf))  # The last of equal scores: they pass together.
    return Curve(
        scores[last],
        np.cumsum(verdicts == Verdict.RIGHT)[last],
        np.cumsum(verdicts == Verdict.WRONG)[last],
        sum(one.count for one in fields),
        sum(one.area_mm2 for one in fields),
    )


def count_at(fields: Iterable[ScoredField], rule: Rule, *, threshold: float) -> Counts:
    """Counts of the detections with a score of at least `threshold`."""
    total = Counts(0, 0, 0)
    for one in fields:
        verdicts = match(one, rule)[one.scores >= threshold]
        right, wrong = int((verdicts == Verdict.RIGHT).sum()), int((verdicts == Verdict.WRONG).sum())
        total += Counts(right, wrong, one.count)
    return total


def best_threshold(curve: Curve, *, spread: float = 0.03) -> float:
    """The threshold of the best F1: the middle of those whose F1 is at most `spread` below, around the best.

    The best single threshold of a few hundred figures is an accident; the middle of its plateau is steadier.
    """
    if not len(curve.thresholds):
        return 0.5
    best = int(curve.f1.argmax())
    is_near = curve.f1 >= curve.f1[best] - spread
    low, high = best, best
    while low > 0 and is_near[low - 1]:
        low -= 1
    while high + 1 < len(is_near) and is_near[high + 1]:
        high += 1
    # Where nothing scores lower, any lower threshold is as good.
    lowest = curve.thresholds[high] if high + 1 < len(is_near) else 0.0
    return float((curve.thresholds[low] + lowest) / 2)


def interval_of_f1(fields: Sequence[ScoredField], rule: Rule, *, threshold: float) -> Interval:
    """Bootstrap interval of the pooled F1 at `threshold`: cases are resampled, one patient's cases together."""
    return interval([count_at(own, rule, threshold=threshold) for own in by_patient(fields)])


def interval(counts: Sequence[Counts]) -> Interval:
    """Bootstrap interval of the F1 of all `counts` together, one for each patient; patients are resampled."""
    return interval_of_share([2 * one.right for one in counts], [one.right + one.wrong + one.figures for one in counts])


def resampled_groups(fields: Sequence[ScoredField]) -> list[list[ScoredField]]:
    """What a bootstrap draws from: patients, or single fields where all are of one patient."""
    groups = by_patient(fields)
    return groups if len(groups) > 1 else [[one] for one in fields]


def by_patient(fields: Iterable[ScoredField]) -> list[list[ScoredField]]:
    """The fields of each patient, patients in the order of their names."""
    groups: dict[str, list[ScoredField]] = defaultdict(list)
    for one in fields:
        groups[patient_of(one.case)].append(one)
    return [groups[patient] for patient in sorted(groups)]
