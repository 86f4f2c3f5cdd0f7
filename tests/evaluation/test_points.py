from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models import load_model
from scanner.evaluation.points import ScoredPoints, describe_points, score_points
from scanner.evaluation.rules import MITOS14
from scanner.evaluation.unlabelled import UnlabelledTissue
from scanner.labels.points import PointsField, read_points_fields
from tests.networks.small_models import dot_model, planted

POINTS = st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.8]), max_size=4)


def points(*places):
    return np.array(places, dtype=np.float64).reshape(-1, 2)


def scored(figures, others, away=(), area_mm2=1.0):
    return ScoredPoints("f", np.array(figures), np.array(others), UnlabelledTissue(np.array(away), area_mm2))


def test_points_are_scored_where_they_are_and_the_rest_is_neither_right_nor_wrong(tmp_path):
    dots = [(60, 60), (60, 120), (250, 60), (250, 300), (60, 300)]
    Image.fromarray(planted(320, 400, dots)).save(tmp_path / "f.png")
    field = PointsField(
        tmp_path / "f.png",
        0.25,
        points((64, 60), (150, 200), (2, 20)),
        points((60, 124), (150, 60)),
        points((250, 60)),
    )
    (one,) = score_points(dot_model(), [field], MITOS14, device="cpu", tissue=False)
    assert (one.figures > 0.3).tolist() == [True, False]  # The third lies at the border.
    assert (one.others > 0.3).tolist() == [True, False]
    assert int((one.unlabelled.scores > 0.3).sum()) == 2  # Not the dot that readers were unsure about.
    assert 0 < one.unlabelled.area_mm2 < 320 * 400 * 0.25**2 / 1e6


@given(st.lists(st.tuples(POINTS, POINTS), min_size=1, max_size=3))
def test_the_points_alone_are_ranked_those_never_found_last(drawn):
    report = describe_points([scored(*one) for one in drawn], threshold=0.3)
    figures = [score for one, _ in drawn for score in one]
    others = [score for _, one in drawn for score in one]
    area, recall = 0.0, 0.0
    for threshold in (0.8, 0.4, 0.1, 0.0):
        right, wrong = (sum(score >= threshold for score in ones) for ones in (figures, others))
        reached = right / max(1, len(figures))
        area += (reached - recall) * right / max(1, right + wrong)
        recall = reached
    assert report["average_precision"] == pytest.approx(area, abs=1e-4)
    assert report["recall"] == pytest.approx(sum(s >= 0.3 for s in figures) / max(1, len(figures)), abs=1e-4)
    assert report["others_detected"] == pytest.approx(sum(s >= 0.3 for s in others) / max(1, len(others)), abs=1e-4)


def test_intervals_are_over_fields():
    report = describe_points([scored([0.9], [0.1], [0.5]), scored([0.1], [0.9])], threshold=0.3)
    assert (report["recall"], report["recall_interval"]) == (0.5, [0.0, 1.0])
    assert report["average_precision_interval"] == [0.5, 1.0]
    assert (report["unlabelled_per_mm2"], report["unlabelled_per_mm2_interval"]) == (0.5, [0.0, 1.0])
    same = describe_points([scored([0.9], [0.1])] * 3, threshold=0.3)
    assert same["recall_interval"] == same["average_precision_interval"] == [1.0, 1.0]


@pytest.mark.slow
def test_the_shipped_model_ranks_figures_of_another_organ_above_other_cells(shared_data):
    fields = read_points_fields(shared_data / "glioma_mdc", mpp=0.25)
    crowded = sorted(fields, key=lambda field: -len(field.figures))[:4]
    report = describe_points(score_points(load_model("mitosis-1"), crowded, MITOS14, device="cpu"), threshold=0.3)
    assert report["average_precision"] > report["figures"] / (report["figures"] + report["others"])
    assert report["recall"] > report["others_detected"]
