from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import load_folds, load_model
from scanner.detections.detection import Detection
from scanner.evaluation.contact_sheet import CELL_PX, COLUMNS, LINE_PX
from scanner.evaluation.evaluate import evaluate, score_detections
from scanner.evaluation.report import Evaluation, write_evaluation
from scanner.evaluation.rules import MIDOG, MITOS14
from scanner.labels.fields import LabelledField, read_fields
from tests.networks.small_models import DOT_RADIUS, dot_model

MPP = 0.25
SHAPE = (400, 600)
#: 3 um are 12 px.
MARGIN_UM = 3.0


def detection(row: float, col: float, score: float, *, border: bool = False) -> Detection:
    return Detection(row, col, row * MPP, col * MPP, score, "mitosis", border)


def field_of(case: str, points: list[tuple[float, float]]) -> LabelledField:
    return LabelledField(Path(f"{case}.png"), case, MPP, np.array(points, dtype=np.float64).reshape(-1, 2))


def scored(case, points, detections):
    return score_detections(field_of(case, points), detections, shape=SHAPE, margin_um=MARGIN_UM)


@pytest.fixture
def evaluation() -> Evaluation:
    fields = (
        scored("A", [(100, 100), (200, 300)], [detection(104, 100, 0.9), detection(300, 300, 0.8)]),
        scored("B", [(50, 60)], [detection(52, 61, 0.7), detection(390, 590, 0.2)]),
    )
    return Evaluation(dot_model(), fields, threshold=0.5)


def test_distances_are_micrometres_of_the_field():
    field = scored("A", [(100, 100)], [detection(100, 120, 0.9)])
    assert np.linalg.norm(field.figures[0] - field.detections[0]) == pytest.approx(5.0)
    assert field.area_mm2 == pytest.approx(0.1 * 0.15)


def test_detections_at_the_border_are_left_out_and_figures_there_do_not_count():
    inside = (11.6, 300)  # 12.1 px from the edge
    outside = (11.4, 300)
    field = scored("A", [inside, outside, (200, 592)], [detection(5, 5, 0.9, border=True), detection(100, 100, 0.5)])
    assert field.uncounted.tolist() == [False, True, True]
    assert field.count == 1
    assert field.scores.tolist() == [0.5]


def test_detections_are_ordered_by_falling_score():
    field = scored("A", [], [detection(50, 50, 0.2), detection(90, 90, 0.8), detection(60, 60, 0.8)])
    assert field.scores.tolist() == [0.8, 0.8, 0.2]
    assert field.detections[0].tolist() == [15.0, 15.0]


def test_a_report_pools_and_parts_by_case(evaluation):
    report = evaluation.report()
    assert report["pooled"]["f1"] == pytest.approx(2 * 2 / (2 + 1 + 3), abs=1e-4)
    assert report["cases"]["A"]["f1"] == pytest.approx(0.5)
    assert report["cases"]["B"]["f1"] == pytest.approx(1.0)
    assert report["rule"] == str(MITOS14)
    assert report["rules"]["MIDOG"]["figures"] == 3
    low, high = report["f1_interval_by_case"]
    assert low == pytest.approx(0.5)
    assert high == pytest.approx(1.0)


def test_tissue_without_labels_is_that_of_cases_not_trained_on(evaluation):
    # The wrong one on A lies 25 um from a figure, that on B, of 0.2, far from any.
    evaluation = replace(evaluation, threshold=0.1)
    tissue = evaluation.report()["unlabelled_tissue"]
    assert 0 < tissue["unlabelled_mm2"] < 2 * 0.1 * 0.15
    assert tissue["unlabelled_per_mm2"] == pytest.approx(1 / tissue["unlabelled_mm2"], rel=0.02)
    assert replace(evaluation, threshold=0.3).report()["unlabelled_tissue"]["unlabelled_per_mm2"] == 0
    assert replace(evaluation, seen=("B",)).report()["unlabelled_tissue"]["unlabelled_per_mm2"] == 0
    assert replace(evaluation, seen=("A", "B")).report()["unlabelled_tissue"]["unlabelled_mm2"] == 0


def test_the_worst_case_is_named(evaluation):
    assert evaluation.report()["worst_case"] == {"case": "A", "f1": 0.5}


def test_disputed_points_are_labels_too():
    labelled = replace(field_of("A", []), disputed=np.array([(100.0, 100.0)]))
    found = [detection(100, 219, 0.9), detection(100, 221, 0.8)]  # 29.75 um, 30.25 um
    one = score_detections(labelled, found, shape=SHAPE, margin_um=MARGIN_UM)
    assert one.unlabelled.scores.tolist() == [0.8]


def test_twins_on_two_scanners_do_not_choose_one_anothers_threshold():
    twins = [scored(case, [(100, 100)], [detection(100, 100, 0.9)]) for case in ("H03", "A03")]
    assert Evaluation(dot_model(), tuple(twins), 0.5).report()["thresholds_of_other_cases"] is None
    other = scored("H04", [(100, 100)], [detection(100, 100, 0.2)])
    cases = Evaluation(dot_model(), (*twins, other), 0.5).report()["thresholds_of_other_cases"]["cases"]
    assert [cases[name]["threshold"] for name in ("A03", "H03")] == [0.1, 0.1]


def test_the_rule_decides_what_is_right():
    fields = (scored("A", [(100, 100)], [detection(100, 131, 0.9)]),)  # 7.75 um
    assert Evaluation(dot_model(), fields, 0.5, MITOS14).report()["pooled"]["f1"] == 1.0
    assert Evaluation(dot_model(), fields, 0.5, MIDOG).report()["pooled"]["f1"] == 0.0


def test_the_files_say_what_the_report_says(evaluation, tmp_path):
    write_evaluation(tmp_path / "out", evaluation)
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert report == evaluation.report()
    with (tmp_path / "out" / "fields.csv").open(newline="") as file:
        fields = list(csv.DictReader(file))
    assert [(row["case"], row["right"], row["wrong"], row["figures"]) for row in fields] == [
        ("A", "1", "1", "2"),
        ("B", "1", "0", "1"),
    ]
    with (tmp_path / "out" / "curve.csv").open(newline="") as file:
        thresholds = [float(row["threshold"]) for row in csv.DictReader(file)]
    assert thresholds == [0.9, 0.8, 0.7, 0.2]


def test_planted_figures_are_found_by_the_scan_and_scored_where_they_are(tmp_path):
    points = np.array([(40.0, 60.0), (100.0, 150.0), (30.0, 170.0)])
    rows, cols = np.mgrid[:140, :200]
    pixels = np.full((140, 200, 3), 230, np.uint8)
    for row, col in points:
        pixels[np.hypot(rows - row, cols - col) <= DOT_RADIUS] = 40
    Image.fromarray(pixels).save(tmp_path / "field.png")
    fields = [LabelledField(tmp_path / "field.png", "A", MPP, points[:2])]
    seen = []
    report = evaluate(
        dot_model(), fields, on_progress=lambda *progress: seen.append(progress), device="cpu", tissue=False
    ).report()
    assert (report["pooled"]["precision"], report["pooled"]["recall"]) == (pytest.approx(2 / 3, abs=1e-4), 1.0)
    assert seen == [(1, 1)]


def test_cases_that_were_trained_on_are_named(tmp_path):
    model = dot_model()
    model = replace(model, card=replace(model.card, training={"cases": ["A"]}))
    Image.fromarray(np.full((60, 60, 3), 230, np.uint8)).save(tmp_path / "field.png")
    fields = [LabelledField(tmp_path / "field.png", case, MPP) for case in "AB"]
    assert evaluate(model, fields, device="cpu", tissue=False).report()["seen_in_training"] == ["A"]


def test_the_worst_errors_are_shown_in_their_order(tmp_path):
    Image.fromarray(np.full((400, 600, 3), 230, np.uint8)).save(tmp_path / "field.png")
    labelled = LabelledField(tmp_path / "field.png", "A", MPP, np.array([(200.0, 300.0), (300.0, 200.0)]))
    found = [detection(200, 302, 0.9), detection(100, 100, 0.8), detection(50, 500, 0.6)]
    one = score_detections(labelled, found, shape=SHAPE, margin_um=MARGIN_UM)
    write_evaluation(tmp_path / "out", Evaluation(dot_model(), (one,), 0.5, labelled=(labelled,)))
    with Image.open(tmp_path / "out" / "worst.png") as sheet:
        assert sheet.width == COLUMNS * CELL_PX
        cells = np.asarray(sheet)[2 * LINE_PX : 2 * LINE_PX + CELL_PX - 2].reshape(CELL_PX - 2, COLUMNS, CELL_PX, 3)
    assert [bool((cells[:, index, : CELL_PX - 2] == 230).all()) for index in range(3)] == [True, True, False]
    with Image.open(tmp_path / "out" / "curves.png") as curves:
        assert len(curves.convert("RGB").getcolors(1 << 20)) > 10


@pytest.mark.slow
def test_the_shipped_model_finds_figures_that_it_never_saw(shared_data):
    model = load_model("mitosis-1")
    folds = load_folds("mitosis-1")
    held_out = {case for one in (model, *folds) for case in one.card.training["held_out"]}
    fields = [field for field in read_fields(shared_data / "mitos14", mpp=0.2274) if field.case in held_out]
    crowded = sorted(fields, key=lambda field: -len(field.points))[:4]
    report = evaluate(model, crowded, folds=folds, device="cpu").report()
    assert report["seen_in_training"] == []
    assert report["pooled"]["f1"] > 0.5
