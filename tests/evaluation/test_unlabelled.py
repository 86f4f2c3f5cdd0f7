from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.evaluation.unlabelled import AWAY_UM, NO_TISSUE, tissue_without_labels, wrong_per_mm2

EXTENT_UM = (200.0, 300.0)
PLACE = st.tuples(st.floats(0, 200), st.floats(0, 300))
PLACES = st.lists(PLACE, max_size=6)


def tissue_of(places, labels, *, extent_um=EXTENT_UM, margin_um=0.0):
    places, labels = (np.array(own, dtype=np.float64).reshape(-1, 2) for own in (places, labels))
    scores = np.linspace(0.9, 0.1, len(places))
    return tissue_without_labels(places, scores, labels, extent_um=extent_um, margin_um=margin_um)


@given(PLACES, PLACES)
def test_what_is_counted_lies_away_from_every_label(places, labels):
    expected = [
        score
        for place, score in zip(places, np.linspace(0.9, 0.1, len(places)), strict=True)
        if all(np.hypot(place[0] - row, place[1] - col) > AWAY_UM for row, col in labels)
    ]
    np.testing.assert_array_equal(tissue_of(places, labels).scores, expected)


@given(PLACES, PLACE)
def test_another_label_leaves_less_tissue_and_no_more_than_its_disk_less(labels, further):
    before, after = (tissue_of([], own).area_mm2 for own in (labels, [*labels, further]))
    assert after <= before
    assert before - after <= np.pi * AWAY_UM**2 / 1e6 * 1.01


def test_the_area_is_that_of_the_field_without_disks_and_border():
    assert tissue_of([], []).area_mm2 == pytest.approx(0.06)
    assert tissue_of([], [], margin_um=3.0).area_mm2 == pytest.approx(194 * 294 / 1e6)
    disk_mm2 = np.pi * AWAY_UM**2 / 1e6
    assert tissue_of([], [(100, 150)]).area_mm2 == pytest.approx(0.06 - disk_mm2, rel=2e-3)
    assert tissue_of([], [(0, 0)]).area_mm2 == pytest.approx(0.06 - disk_mm2 / 4, rel=2e-3)
    assert tissue_of([], [], extent_um=(5.0, 300.0), margin_um=3.0).area_mm2 == 0


def test_the_rate_is_of_all_tissue_together():
    first, second = tissue_of([(10, 10), (20, 20)], []), tissue_of([(10, 10)], [], extent_um=(100, 300))
    assert wrong_per_mm2([first, second], threshold=0.5) == pytest.approx(2 / 0.09)
    assert wrong_per_mm2([first, second, NO_TISSUE], threshold=0.1) == pytest.approx(3 / 0.09)
    assert wrong_per_mm2([NO_TISSUE], threshold=0.1) == 0
