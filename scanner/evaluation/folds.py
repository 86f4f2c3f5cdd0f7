"""Which weights may score a case or a scanner: those that were trained without it."""

from __future__ import annotations

from collections.abc import Sequence

from models import Model
from scanner.labels.cases import patient_of


def was_trained_on(model: Model, case: str) -> bool:
    """Whether the model was trained on the case, or on the same patient's slide from another scanner."""
    return patient_of(case) in map(patient_of, model.card.training.get("cases", ()))


def fold_without(folds: Sequence[Model], group: str) -> Model | None:
    """The first fold that held the group out and was trained on no twin of it; None if there is none.

    Parameters
    ----------
    folds : sequence of Model
        The card of each names cases and scanners together in `training.held_out`.
    group : str
        A case, or a scanner of cut-out figures.
    """
    for fold in folds:
        held_out = map(patient_of, fold.card.training.get("held_out", ()))
        if patient_of(group) in held_out and not was_trained_on(fold, group):
            return fold
    return None


def unseen_by(model: Model, folds: Sequence[Model], case: str) -> Model:
    """`model`, or the fold that was trained without `case` if the model was trained on it and there is one."""
    if not was_trained_on(model, case):
        return model
    return fold_without(folds, case) or model
