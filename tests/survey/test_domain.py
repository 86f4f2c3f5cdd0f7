"""check_domain: what lies near the slides trained on passes; what does not is said in one sentence."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ModelCard
from models.card import card_from_toml, card_to_toml
from models.domain import Domain
from models.errors import CardError
from scanner.survey.domain import check_domain, measure_distance

DOMAIN = Domain(
    names=("density", "red_to_green", "contrast"),
    mean=(-1.0, -0.5, 0.0),
    std=(0.2, 0.1, 0.3),
    correlation=((1.0, 0.4, 0.0), (0.4, 1.0, -0.3), (0.0, -0.3, 1.0)),
    lowest=(0.25, 0.5, 0.5),
    highest=(0.5, 0.7, 1.5),
    limit=4.0,
)
CARD = ModelCard("small", "1", "dannet", {}, patch_size=9, mpp=0.25)
USUAL = {name: math.exp(mean) for name, mean in zip(DOMAIN.names, DOMAIN.mean, strict=True)}


def test_the_mean_lies_inside_and_nothing_is_said() -> None:
    found = check_domain(DOMAIN, USUAL)
    assert found is not None
    assert (found.distance, found.is_outside, found.warning) == (0.0, False, "")


def test_what_is_beyond_the_limit_is_named_with_what_was_trained_on() -> None:
    found = check_domain(DOMAIN, USUAL | {"red_to_green": 1.3})
    assert found is not None
    assert found.is_outside
    assert "density in red as a share of that in green is 1.3, trained on 0.5 to 0.7" in found.warning
    assert "train on slides like it" in found.warning


def test_usual_statistics_that_do_not_go_together_are_said_so() -> None:
    # Far off together, though none of them is beyond what was trained on.
    tied = replace(DOMAIN, correlation=((1.0, 0.99, 0.0), (0.99, 1.0, 0.0), (0.0, 0.0, 1.0)))
    found = check_domain(tied, {"density": 0.49, "red_to_green": 0.51, "contrast": 1.0})
    assert found is not None
    assert found.is_outside
    assert "in training about" in found.warning


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.floats(0, 1))
def test_the_distance_grows_on_the_way_out(direction: list[float], share: float) -> None:
    mean, way = np.array(DOMAIN.mean), np.array(direction)
    whole = measure_distance(DOMAIN, mean + way)
    assert measure_distance(DOMAIN, mean + share * way) == pytest.approx(share * whole, abs=1e-9)


def test_a_card_of_other_statistics_is_not_compared() -> None:
    assert check_domain(DOMAIN, {"density": 0.3}) is None
    assert check_domain(DOMAIN, None) is None


def test_a_card_keeps_its_domain_and_may_have_none() -> None:
    card = replace(CARD, domain=DOMAIN)
    assert card_from_toml(card_to_toml(card)) == card
    assert "[domain]" not in card_to_toml(CARD)


@pytest.mark.parametrize("change", [{"std": (0.2, 0.1)}, {"std": (0.2, 0.1, 0.0)}, {"limit": 0.0}, {"names": ()}])
def test_tables_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=r"\[domain\]"):
        replace(DOMAIN, **change)
