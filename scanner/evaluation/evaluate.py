"""Scan labelled fields as a user would, and score the detections."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from models import Model
from scanner.detections.detection import Detection
from scanner.evaluation.contact_sheet import write_contact_sheet
from scanner.evaluation.curves import Curve, best_threshold, count_at, interval_of_f1, trace_curve
from scanner.evaluation.cutouts import FoundFigures
from scanner.evaluation.matching import ScoredField
from scanner.evaluation.plots import write_curves
from scanner.evaluation.rules import MITOS14, RULES, Rule
from scanner.evaluation.transfer import leave_one_case_out
from scanner.labels.fields import LabelledField, Points
from scanner.settings import SettingsKeywords

if TYPE_CHECKING:
    import numpy.typing as npt

#: Called with fields done and fields in all.
OnFields = Callable[[int, int], None]

#: Detections are kept down to here, so that the curves are long enough.
FLOOR = 0.02


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
    #: Recall on cut-out figures, by scanner, if that was asked for.
    cutouts: tuple[FoundFigures, ...] = ()

    @property
    def curve(self) -> Curve:
        """All cases together."""
        return trace_curve(self.fields, self.rule)

    def report(self) -> dict[str, Any]:
        """The scores as JSON: pooled by each rule, per case, and the best that any threshold would give."""
        cases = sorted({one.case for one in self.fields})
        return {
            "model": {"name": self.model.card.name, "version": self.model.card.version},
            "sha256": self.model.card.sha256,
            "rule": str(self.rule),
            "threshold": self.threshold,
            "pooled": _figures(self.fields, self.rule, self.threshold),
            "f1_interval_by_case": _rounded(interval_of_f1(self.fields, self.rule, threshold=self.threshold)),
            "thresholds_of_other_cases": _transferred(self.fields, self.rule) if len(cases) > 1 else None,
            "seen_in_training": list(self.seen),
            "cut_out_figures": {one.scanner: asdict(one) | {"recall": round(one.recall, 4)} for one in self.cutouts},
            "rules": {name: _figures(self.fields, rule, self.threshold) for name, rule in RULES.items()},
            "cases": {
                case: _figures([f for f in self.fields if f.case == case], self.rule, self.threshold) for case in cases
            },
        }


def evaluate(
    model: Model,
    fields: Sequence[LabelledField],
    *,
    rule: Rule = MITOS14,
    folds: Sequence[Model] = (),
    on_progress: OnFields | None = None,
    **settings: Unpack[SettingsKeywords],
) -> Evaluation:
    """Scan labelled fields one by one, as single images whose stain is measured on themselves, and score them.

    Parameters
    ----------
    model : Model
    fields : sequence of LabelledField
    rule : Rule
    folds : sequence of Model
        Models of the same recipe, trained without some cases (`models.load_folds`): a case that `model` was trained on
        is scored by the one that was trained without it.
    on_progress : callable, optional
    **settings
        Settings of the scan. `mpp` overrides that of the fields; `threshold` that of the card.

    Returns
    -------
    Evaluation
    """
    scored = []
    for done, field in enumerate(fields, start=1):
        scored.append(score_by_scan(unseen_by(model, folds, field.case), field, **settings))
        if on_progress is not None:
            on_progress(done, len(fields))
    threshold = settings.get("threshold")
    cases = sorted({field.case for field in fields})
    seen = tuple(case for case in cases if _was_trained_on(unseen_by(model, folds, case), case))
    return Evaluation(
        model, tuple(scored), model.card.threshold if threshold is None else threshold, rule, seen, tuple(fields)
    )


def unseen_by(model: Model, folds: Sequence[Model], case: str) -> Model:
    """`model`, or the fold that was trained without `case` if the model was trained on it and there is one."""
    if _was_trained_on(model, case):
        for fold in folds:
            if case in fold.card.training.get("held_out", ()):
                return fold
    return model


def score_by_scan(model: Model, field: LabelledField, **settings: Unpack[SettingsKeywords]) -> ScoredField:
    """The detections of `scan` in a field, with its labels; distances use the field's own mpp."""
    from scanner.scanning import scan  # Here: scan loads the slide readers, which matching does not need.

    chosen: SettingsKeywords = {"candidate_floor": FLOOR, "mpp": field.mpp, **settings}
    result = scan(field.path, model, **chosen)
    shape = (result.frame.level0_height, result.frame.level0_width)
    return score_detections(field, result.candidates, shape=shape, margin_um=model.card.margin_um)


def score_detections(
    field: LabelledField, detections: Iterable[Detection], *, shape: tuple[int, int], margin_um: float
) -> ScoredField:
    """Detections in a field of `shape` level-0 pixels, without those at its border, beside its labels."""
    inner = sorted((d for d in detections if not d.border), key=lambda d: (-d.score, d.row, d.col))
    return ScoredField(
        name=field.path.name,
        case=field.case,
        area_mm2=shape[0] * shape[1] * (field.mpp / 1000) ** 2,
        detections=np.array([(d.row, d.col) for d in inner], dtype=np.float64).reshape(-1, 2) * field.mpp,
        scores=np.array([d.score for d in inner], dtype=np.float64),
        figures=field.points * field.mpp,
        at_border=_is_at_border(field.points, shape, margin_um / field.mpp),
    )


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write evaluation.json, curve.csv (PR and FROC), fields.csv, curves.png and worst.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation.report(), indent=2) + "\n", encoding="utf-8")
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


def _was_trained_on(model: Model, case: str) -> bool:
    return case in model.card.training.get("cases", ())


def _transferred(fields: Sequence[ScoredField], rule: Rule) -> dict[str, Any]:
    """Each case at the threshold chosen on the others: the unbiased score where no case was held out."""
    transfer = leave_one_case_out(fields, rule)
    return {
        "f1": round(transfer.pooled.f1, 4),
        "precision": round(transfer.pooled.precision, 4),
        "recall": round(transfer.pooled.recall, 4),
        "f1_interval_by_case": _rounded(transfer.interval),
        "f1_with_best_threshold_per_case": round(transfer.best.f1, 4),
        "cases": {
            one.case: {
                "threshold": round(one.threshold, 4),
                "f1": round(one.counts.f1, 4),
                "best_f1": round(one.best.f1, 4),
                "figures": one.counts.figures,
            }
            for one in transfer.cases
        },
    }


def _rounded(pair: tuple[float, float]) -> list[float]:
    return [round(value, 4) for value in pair]


def _figures(fields: Sequence[ScoredField], rule: Rule, threshold: float) -> dict[str, float]:
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


def _counts_of(field: ScoredField, evaluation: Evaluation) -> tuple[int, int, int]:
    counts = count_at([field], evaluation.rule, threshold=evaluation.threshold)
    return counts.right, counts.wrong, counts.figures


def _is_at_border(points: Points, shape: tuple[int, int], margin_px: float) -> npt.NDArray[np.bool_]:
    # Half a pixel beyond the centres of the outermost pixels lies the field's edge, as for detections.
    before = (points + 0.5).min(axis=1, initial=np.inf)
    after = (np.array(shape) - points - 0.5).min(axis=1, initial=np.inf)
    at_border: npt.NDArray[np.bool_] = np.minimum(before, after) <= margin_px
    return at_border


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
