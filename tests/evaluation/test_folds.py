from __future__ import annotations

from dataclasses import replace

import pytest

from scanner.evaluation.folds import fold_without, unseen_by, was_trained_on
from tests.networks.small_models import dot_model


def trained(name, cases, held_out=()):
    model = dot_model()
    training = {"cases": list(cases), "held_out": list(held_out)}
    return replace(model, card=replace(model.card, name=name, training=training))


WHOLE = trained("whole", ["H03", "H04", "H07"])
FOLDS = (
    trained("without H03", ["H04", "H07"], ["H03", "MIDOG21_AperioCS2"]),
    trained("without H04", ["H03", "H07"], ["H04", "TUPAC16_LeicaSCN400"]),
)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("H03", "without H03"),
        ("A03", "without H03"),  # the same patient on another scanner
        ("H04", "without H04"),
        ("H07", "whole"),  # no fold held it out
        ("H11", "whole"),  # not trained on
    ],
)
def test_a_case_is_scored_by_weights_that_never_saw_its_patient(case, name):
    assert unseen_by(WHOLE, FOLDS, case).card.name == name


def test_a_fold_that_was_trained_on_the_twin_does_not_count():
    half = trained("half", ["A03", "H04"], ["H03"])
    assert was_trained_on(half, "H03")
    assert fold_without([half], "H03") is None
    assert fold_without([half, *FOLDS], "H03") is FOLDS[0]
    assert unseen_by(WHOLE, [half], "A03") is WHOLE


def test_scanners_stand_beside_cases_in_what_a_fold_held_out():
    assert fold_without(FOLDS, "TUPAC16_LeicaSCN400") is FOLDS[1]
    assert fold_without(FOLDS, "MIDOG21_HamamatsuXR") is None
