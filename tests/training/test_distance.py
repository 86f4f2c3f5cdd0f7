from __future__ import annotations

import numpy as np
import pytest

from scanner.labels.fields import read_fields
from scanner.training.distance import count_shared, measure_distance
from tests.networks.small_models import dot_model, random_model


def test_a_model_is_no_distance_from_itself(data_folder):
    fields = read_fields(data_folder / "fields", mpp=0.25)
    distance = measure_distance(dot_model(), dot_model(), fields, device="cpu")
    assert distance.weights == 0.0
    assert distance.found == distance.found_by_reference == distance.shared > 0


def test_other_weights_are_apart_and_other_networks_are_no_distance(data_folder):
    fields = read_fields(data_folder / "fields", mpp=0.25)[:1]
    apart = measure_distance(random_model(seed=0), random_model(seed=1), fields, device="cpu")
    assert apart.weights == pytest.approx(1.4, abs=0.4)  # independent weights of equal norm: the root of two
    assert measure_distance(dot_model(), random_model(), fields, device="cpu").weights is None


def test_each_place_is_shared_once():
    first = np.array([(0.0, 0.0), (0.0, 5.0), (100.0, 0.0)])
    assert count_shared(first, first) == 3
    assert count_shared(first, first[:1]) == 1
    assert count_shared(first[:0], first) == 0
