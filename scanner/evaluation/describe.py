"""Scores as JSON: of fields, of their cases, and of how both travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from scanner.evaluation.curves import best_threshold, by_patient, count_at, resampled_groups, trace_curve
from scanner.evaluation.cutouts import ScoredCutouts
from scanner.evaluation.intervals import interval_of_average_precision, interval_of_share
from scanner.evaluation.matching import ScoredField, Verdict, match
from scanner.evaluation.points import ScoredPoints
from scanner.evaluation.rules import Rule
from scanner.evaluation.steadiest import curves_of_cases, curves_of_scanners, steadiest_threshold, worst_group
from scanner.evaluation.transfer import leave_one_case_out
from scanner.evaluation.unlabelled import describe_unlabelled, wrong_per_mm2

#: Bound of the steadiest threshold: mitosis-1 0.3.0 has 2.5 on breast and 4 on another organ.
MOST_PER_MM2 = 5.0


def rounded(pair: tuple[float, float]) -> list[float]:
    """An interval, to four decimals."""
    return [round(value, 4) for value in pair]


def describe_fields(fields: Sequence[ScoredField], rule: Rule, *, threshold: float) -> dict[str, float]:
    """Scores of all fields together at a threshold, and what the best threshold for them would give."""
    counts, curve = count_at(fields, rule, threshold=threshold), trace_curve(fields, rule)
    return {
        "f1": round(counts.f1, 4),
        "precision": round(counts.precision, 4),
        "recall": round(counts.recall, 4),
        "average_precision": round(curve.average_precision, 4),
        "best_f1": round(float(curve.f1.max(initial=0.0)), 4),
        "best_threshold": round(best_threshold(curve), 4),
        "wrong_per_mm2": round(counts.wrong / curve.area_mm2, 3),
        "figures": counts.figures,
        "fields": len(fields),
        "area_mm2": round(curve.area_mm2, 3),
    }


def describe_intervals(fields: Sequence[ScoredField], rule: Rule, *, threshold: float) -> dict[str, Any]:
    """Bootstrap intervals of the pooled scores, over patients; over fields where all are of one patient."""
    over = "cases" if len(by_patient(fields)) > 1 else "fields"
    groups = resampled_groups(fields)
    counts = [count_at(own, rule, threshold=threshold) for own in groups]
    right, wrong, figures = (np.array([getattr(one, key) for one in counts]) for key in ("right", "wrong", "figures"))
    areas_mm2 = [sum(one.area_mm2 for one in own) for own in groups]
    verdicts = [np.concatenate([match(one, rule) for one in own]) for own in groups]
    scores = np.concatenate([np.zeros(0), *(one.scores for own in groups for one in own)])
    of_group = np.repeat(np.arange(len(groups)), [len(own) for own in verdicts])
    verdict = np.concatenate([np.zeros(0, np.int8), *verdicts])
    counts_at_all = verdict != Verdict.NOT_COUNTED
    average_precision = interval_of_average_precision(
        scores[counts_at_all], (verdict == Verdict.RIGHT)[counts_at_all], of_group[counts_at_all], figures
    )
    return {
        "over": over,
        "groups": len(groups),
        "precision": rounded(interval_of_share(right, right + wrong)),
        "recall": rounded(interval_of_share(right, figures)),
        "average_precision": rounded(average_precision),
        "wrong_per_mm2": rounded(interval_of_share(wrong, areas_mm2)),
    }


def describe_unlabelled_fields(fields: Sequence[ScoredField], *, threshold: float) -> dict[str, Any]:
    """Detections on the tissue without labels of fields, for each mm2; over patients as `describe_intervals`."""
    groups = [[one.unlabelled for one in own] for own in resampled_groups(fields)]
    return describe_unlabelled(groups, threshold=threshold)


def worst_case(fields: Sequence[ScoredField], rule: Rule, *, threshold: float) -> dict[str, Any] | None:
    """The case with the lowest F1 at a threshold; None if no case has figures."""
    curves = curves_of_cases(fields, rule)
    if not curves:
        return None
    case, f1 = worst_group(curves, threshold)
    return {"case": case, "f1": round(f1, 4)}


def describe_transfer(fields: Sequence[ScoredField], rule: Rule) -> dict[str, Any]:
    """Each case at the threshold chosen on the others: the unbiased score where no case was held out."""
    transfer = leave_one_case_out(fields, rule)
    return {
        "f1": round(transfer.pooled.f1, 4),
        "precision": round(transfer.pooled.precision, 4),
        "recall": round(transfer.pooled.recall, 4),
        "f1_interval_by_case": rounded(transfer.interval),
        "f1_with_best_threshold_per_case": round(transfer.best.f1, 4),
        "cases": {
            one.case: {
                "threshold": round(one.threshold, 4),
                "f1": round(one.counts.f1, 4),
                "best_f1": round(one.best.f1, 4),
                "figures": one.counts.figures,
                "right": one.counts.right,
                "wrong": one.counts.wrong,
            }
            for one in transfer.cases
        },
    }


def describe_cutouts(cutouts: Sequence[ScoredCutouts], *, threshold: float) -> dict[str, Any]:
    """Recall on the cut-out figures of each scanner, with its bootstrap interval over slides."""
    found = [one.found_at(threshold) for one in cutouts]
    return {
        one.scanner: asdict(one) | {"recall": round(one.recall, 4), "recall_interval": rounded(one.recall_interval)}
        for one in found
    }


def describe_steadiest(
    fields: Sequence[ScoredField], cutouts: Sequence[ScoredCutouts], points: Sequence[ScoredPoints], rule: Rule
) -> dict[str, Any] | None:
    """The threshold that is best for the worst case or scanner, chosen on these; None if none has figures."""
    groups = curves_of_cases(fields, rule) + curves_of_scanners(cutouts)
    if not groups:
        return None
    tissue = [one.unlabelled for one in fields] + [one.unlabelled for one in points]
    threshold = steadiest_threshold(groups, tissue, most_per_mm2=MOST_PER_MM2)
    name, merit = worst_group(groups, threshold)
    return {
        "threshold": round(threshold, 4),
        "worst": name,
        "f1_or_recall": round(merit, 4),
        "unlabelled_per_mm2": round(wrong_per_mm2(tissue, threshold=threshold), 3),
        "most_per_mm2": MOST_PER_MM2,
    }
