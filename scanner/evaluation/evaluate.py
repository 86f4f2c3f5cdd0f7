"""Scan labelled fields as a user would, and score the detections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Unpack

import numpy as np

from models import Model
from scanner.detections.detection import Detection
from scanner.evaluation.folds import unseen_by, was_trained_on
from scanner.evaluation.matching import FLOOR, ScoredField, is_at_border
from scanner.evaluation.report import Evaluation
from scanner.evaluation.rules import MITOS14, Rule
from scanner.evaluation.unlabelled import tissue_without_labels
from scanner.labels.fields import LabelledField
from scanner.settings import SettingsKeywords

#: Called with fields done and fields in all.
OnFields = Callable[[int, int], None]


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
        is scored by the one that was trained without it, and without the same patient's slides from other scanners.
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
    seen = tuple(case for case in cases if was_trained_on(unseen_by(model, folds, case), case))
    return Evaluation(
        model, tuple(scored), model.card.threshold if threshold is None else threshold, rule, seen, tuple(fields)
    )


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
    places = np.array([(d.row, d.col) for d in inner], dtype=np.float64).reshape(-1, 2)
    scores = np.array([d.score for d in inner], dtype=np.float64)
    # What is detected at an unjudged point is neither right nor wrong: as at a figure that does not count.
    figures = np.concatenate([field.points, field.ignored])
    is_unjudged = np.arange(len(figures)) >= len(field.points)
    unlabelled = tissue_without_labels(
        # From the field's corner, which lies half a pixel before the centre of its first pixel.
        (places + 0.5) * field.mpp,
        scores,
        (field.labels + 0.5) * field.mpp,
        extent_um=(shape[0] * field.mpp, shape[1] * field.mpp),
        margin_um=margin_um,
    )
    return ScoredField(
        name=field.path.name,
        case=field.case,
        area_mm2=shape[0] * shape[1] * (field.mpp / 1000) ** 2,
        detections=places * field.mpp,
        scores=scores,
        figures=figures * field.mpp,
        uncounted=is_at_border(figures, shape, margin_um / field.mpp) | is_unjudged,
        unlabelled=unlabelled,
    )
