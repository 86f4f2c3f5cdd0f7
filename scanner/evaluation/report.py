"""Evaluation: what was found in labelled fields, as a report and as files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import Model
from scanner.evaluation.contact_sheet import write_contact_sheet
from scanner.evaluation.curves import Curve, by_patient, count_at, interval_of_f1, trace_curve
from scanner.evaluation.cutouts import ScoredCutouts
from scanner.evaluation.describe import (
    describe_cutouts,
    describe_fields,
    describe_intervals,
    describe_steadiest,
    describe_transfer,
    describe_unlabelled_fields,
    rounded,
    worst_case,
)
from scanner.evaluation.matching import ScoredField
from scanner.evaluation.plots import write_curves
from scanner.evaluation.points import ScoredPoints, describe_points
from scanner.evaluation.rules import MITOS14, RULES, Rule
from scanner.labels.fields import LabelledField


@dataclass(frozen=True)
class Evaluation:
    """Scored fields of one model, and the threshold that they are scored at."""

    model: Model
    fields: tuple[ScoredField, ...]
    threshold: float
    rule: Rule = MITOS14
    #: Cases that were scored by weights trained on them: their scores say nothing about new slides.
    seen: tuple[str, ...] = ()
    #: The labels, in the order of `fields`; without them no picture of the errors can be drawn.
    labelled: tuple[LabelledField, ...] = ()
    #: Cut-out figures, by scanner, if that was asked for.
    cutouts: tuple[ScoredCutouts, ...] = ()
    #: Fields of which only points are labelled, if that was asked for.
    points: tuple[ScoredPoints, ...] = ()

    @property
    def curve(self) -> Curve:
        """All cases together."""
        return trace_curve(self.fields, self.rule)

    @property
    def unseen(self) -> tuple[ScoredField, ...]:
        """The fields of cases that were scored by weights trained without them."""
        return tuple(one for one in self.fields if one.case not in self.seen)

    def report(self) -> dict[str, Any]:
        """The scores as JSON: pooled by each rule, per case, and how they travel to what was not trained on."""
        cases = sorted({one.case for one in self.fields})
        at = {"threshold": self.threshold}
        return {
            "model": {"name": self.model.card.name, "version": self.model.card.version},
            "sha256": self.model.card.sha256,
            "rule": str(self.rule),
            "threshold": self.threshold,
            "pooled": describe_fields(self.fields, self.rule, **at),
            "f1_interval_by_case": rounded(interval_of_f1(self.fields, self.rule, **at)),
            "intervals": describe_intervals(self.fields, self.rule, **at),
            "unlabelled_tissue": describe_unlabelled_fields(self.unseen, **at),
            "worst_case": worst_case(self.fields, self.rule, **at),
            "thresholds_of_other_cases": (
                describe_transfer(self.fields, self.rule) if len(by_patient(self.fields)) > 1 else None
            ),
            "steadiest_threshold": describe_steadiest(self.unseen, self.cutouts, self.points, self.rule),
            "seen_in_training": list(self.seen),
            "cut_out_figures": describe_cutouts(self.cutouts, **at),
            "points_only": describe_points(self.points, **at) if self.points else None,
            "rules": {name: describe_fields(self.fields, rule, **at) for name, rule in RULES.items()},
            "cases": {
                case: describe_fields([f for f in self.fields if f.case == case], self.rule, **at) for case in cases
            },
        }


def write_evaluation(folder: Path, evaluation: Evaluation) -> dict[str, Any]:
    """Write evaluation.json, curve.csv (PR and FROC), fields.csv, curves.png and worst.png into `folder`.

    Returns
    -------
    dict
        The content of evaluation.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = evaluation.report()
    (folder / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    curve = evaluation.curve
    columns = (curve.thresholds, curve.precision, curve.recall, curve.f1, curve.wrong_per_mm2)
    header = ("threshold", "precision", "recall", "f1", "wrong_per_mm2")
    _write_table(folder / "curve.csv", header, ([f"{v:.5f}" for v in row] for row in zip(*columns, strict=True)))
    rows = ((f.name, f.case, *_counts_of(f, evaluation)) for f in evaluation.fields)
    _write_table(folder / "fields.csv", ("field", "case", "right", "wrong", "figures"), rows)
    card, at = evaluation.model.card, {"threshold": evaluation.threshold}
    title = f"{card.name} {card.version}"
    write_curves(folder / "curves.png", evaluation.fields, evaluation.rule, title=title, **at)
    if evaluation.labelled:
        write_contact_sheet(folder / "worst.png", evaluation.labelled, evaluation.fields, evaluation.rule, **at)
    return report


def _counts_of(field: ScoredField, evaluation: Evaluation) -> tuple[int, int, int]:
    counts = count_at([field], evaluation.rule, threshold=evaluation.threshold)
    return counts.right, counts.wrong, counts.figures


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
