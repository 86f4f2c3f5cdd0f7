"""evaluate: labelled fields through the scan that a user would run, and what came of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from models import Model
from scanner.detections import Detection
from scanner.evaluation.curves import Curve, best_threshold, count_at, interval_of_f1, trace_curve
from scanner.evaluation.matching import MITOS14, RULES, Rule, ScoredField
from scanner.settings import SettingsKeywords
from scanner.training.fields import LabelledField, Points

if TYPE_CHECKING:
    import numpy.typing as npt

#: Called with fields done and fields in all.
OnFields = Callable[[int, int], None]

#: Detections are kept down to here, so that the curves are long enough.
FLOOR = 0.02


@dataclass(frozen=True)
class Evaluation:
    """Scored fields of one model, and the threshold in question."""

    model: Model
    fields: tuple[ScoredField, ...]
    threshold: float
    rule: Rule = MITOS14

    @property
    def curve(self) -> Curve:
        """All cases together."""
        return trace_curve(self.fields, self.rule)

    def report(self) -> dict[str, Any]:
        """The figures, ready for JSON: pooled by each rule, per case, and the best that any threshold would give."""
        low, high = interval_of_f1(self.fields, self.rule, threshold=self.threshold)
        return {
            "model": {"name": self.model.card.name, "version": self.model.card.version},
            "sha256": self.model.card.sha256,
            "rule": str(self.rule),
            "threshold": self.threshold,
            "pooled": _figures(self.fields, self.rule, self.threshold),
            "f1_interval_by_case": [round(low, 4), round(high, 4)],
            "rules": {name: _figures(self.fields, rule, self.threshold) for name, rule in RULES.items()},
            "cases": {
                case: _figures([f for f in self.fields if f.case == case], self.rule, self.threshold)
                for case in sorted({one.case for one in self.fields})
            },
        }


def evaluate(
    model: Model,
    fields: Sequence[LabelledField],
    *,
    rule: Rule = MITOS14,
    on_progress: OnFields | None = None,
    **settings: Unpack[SettingsKeywords],
) -> Evaluation:
    """Scan labelled fields one by one, as single images whose stain is measured on themselves, and score them.

    Parameters
    ----------
    model : Model
    fields : sequence of LabelledField
    rule : Rule
    on_progress : callable, optional
    **settings
        Settings of the scan. `mpp` overrides that of the fields; `threshold` that of the card.

    Returns
    -------
    Evaluation
    """
    scored = []
    for done, field in enumerate(fields, start=1):
        scored.append(score_by_scan(model, field, **settings))
        if on_progress is not None:
            on_progress(done, len(fields))
    threshold = settings.get("threshold")
    return Evaluation(model, tuple(scored), model.card.threshold if threshold is None else threshold, rule)


def score_by_scan(model: Model, field: LabelledField, **settings: Unpack[SettingsKeywords]) -> ScoredField:
    """What `scan` finds in a field, beside its labels; distances use the field's own mpp."""
    from scanner.scanning import scan  # Here: scan reads slides, and matching needs none of that.

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
    """Write evaluation.json, curve.csv (PR and FROC) and fields.csv into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation.report(), indent=2) + "\n", encoding="utf-8")
    curve = evaluation.curve
    columns = (curve.thresholds, curve.precision, curve.recall, curve.f1, curve.wrong_per_mm2)
    header = ("threshold", "precision", "recall", "f1", "wrong_per_mm2")
    _write_table(folder / "curve.csv", header, ([f"{v:.5f}" for v in row] for row in zip(*columns, strict=True)))
    rows = ((f.name, f.case, *_counts_of(f, evaluation)) for f in evaluation.fields)
    _write_table(folder / "fields.csv", ("field", "case", "right", "wrong", "figures"), rows)


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
