"""How a threshold generalises: chosen on all cases but one and applied to that one, case by case.

A twin of the case, the same patient's slide from another scanner, has no say in its threshold either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scanner.evaluation.curves import Counts, best_threshold, count_at, interval, trace_curve
from scanner.evaluation.matching import ScoredField
from scanner.evaluation.rules import Rule
from scanner.labels.cases import patient_of


@dataclass(frozen=True)
class CaseTransfer:
    """One case at the threshold that the others chose."""

    case: str
    threshold: float
    counts: Counts
    #: What the best threshold for this case alone would have given.
    best: Counts


@dataclass(frozen=True)
class Transfer:
    """All cases, each at the threshold of the others."""

    cases: tuple[CaseTransfer, ...]

    @property
    def pooled(self) -> Counts:
        """Counts of all cases together."""
        return sum((one.counts for one in self.cases), Counts(0, 0, 0))

    @property
    def best(self) -> Counts:
        """The same with the best threshold for each case: what no fixed threshold reaches."""
        return sum((one.best for one in self.cases), Counts(0, 0, 0))

    @property
    def interval(self) -> tuple[float, float]:
        """Bootstrap interval of the pooled F1: patients are resampled with replacement."""
        patients = sorted({patient_of(one.case) for one in self.cases})
        groups = ([one.counts for one in self.cases if patient_of(one.case) == patient] for patient in patients)
        return interval([sum(counts, Counts(0, 0, 0)) for counts in groups])


def leave_one_case_out(fields: Sequence[ScoredField], rule: Rule) -> Transfer:
    """Count each case at the threshold that the other cases choose.

    Parameters
    ----------
    fields : sequence of ScoredField
        Of at least two patients.
    rule : Rule
    """
    cases = sorted({one.case for one in fields})
    transfers = []
    for case in cases:
        own = [one for one in fields if one.case == case]
        others = [one for one in fields if patient_of(one.case) != patient_of(case)]
        threshold = best_threshold(trace_curve(others, rule))
        transfers.append(
            CaseTransfer(case, threshold, count_at(own, rule, threshold=threshold), _best_counts(own, rule))
        )
    return Transfer(tuple(transfers))


def _best_counts(fields: Sequence[ScoredField], rule: Rule) -> Counts:
    curve = trace_curve(fields, rule)
    if not len(curve.thresholds):
        return Counts(0, 0, curve.figures)
    best = int(curve.f1.argmax())
    return Counts(int(curve.right[best]), int(curve.wrong[best]), curve.figures)
