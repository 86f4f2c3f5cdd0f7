"""Scan labelled fields with a model that detects several classes, and score each class by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from models import Model
from scanner.evaluation.evaluate import OnFields, score_detections
from scanner.evaluation.matching import FLOOR, ScoredField
from scanner.evaluation.report import Evaluation
from scanner.evaluation.rules import MITOS14, Rule
from scanner.labels.fields import LabelledField
from scanner.settings import SettingsKeywords


def evaluate_classes(
    model: Model,
    fields: Sequence[LabelledField],
    *,
    rule: Rule = MITOS14,
    on_progress: OnFields | None = None,
    **settings: Unpack[SettingsKeywords],
) -> dict[str, Evaluation]:
    """Scan labelled fields one by one, as `evaluate` does, and score the detections of each mapped class on its own.

    Returns
    -------
    dict
        An Evaluation for each mapped class: a detection of one class is never right about a figure of another.
    """
    scored: dict[str, list[ScoredField]] = {name: [] for name in model.card.mapped}
    for done, field in enumerate(fields, start=1):
        for name, one in _score_by_class(model, field, **settings).items():
            scored[name].append(one)
        if on_progress is not None:
            on_progress(done, len(fields))
    threshold = settings.get("threshold")
    in_force = model.card.threshold if threshold is None else threshold
    return {name: Evaluation(model, tuple(ones), in_force, rule) for name, ones in scored.items()}


def _score_by_class(model: Model, field: LabelledField, **settings: Unpack[SettingsKeywords]) -> dict[str, ScoredField]:
    from scanner.scanning import scan  # Here: scan loads the slide readers, which the scores do not need.

    chosen: SettingsKeywords = {"candidate_floor": FLOOR, "mpp": field.mpp, **settings}
    result = scan(field.path, model, **chosen)
    result.map.close()
    shape = (result.frame.level0_height, result.frame.level0_width)
    kinds = np.ones(len(field.points), np.int64) if field.kinds is None else field.kinds
    scored = {}
    for name in model.card.mapped:
        is_own = kinds == model.card.classes.index(name)
        # Figures of other classes are labels too: the tissue around them is not without.
        disputed = np.concatenate([field.disputed, field.points[~is_own]])
        own = replace(field, points=field.points[is_own], disputed=disputed)
        found = [candidate for candidate in result.candidates if candidate.label == name]
        scored[name] = score_detections(own, found, shape=shape, margin_um=model.card.margin_um)
    return scored
