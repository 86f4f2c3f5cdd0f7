"""Evaluation beyond one kind of figure: several classes, and segmentations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import load_model
from scanner.evaluation.classes import evaluate_classes
from scanner.evaluation.segmentations import evaluate_segmentation, write_segmentation_evaluation
from scanner.labels.fields import LabelledField
from scanner.labels.folder import LabelRules, read_labelled
from tests.maps.test_segmentation import dark_and_bright_model, several_classes
from tests.networks.small_models import DOT_RADIUS

DARK, BRIGHT = [(40.0, 60.0), (90.0, 150.0)], [(60.0, 110.0), (120.0, 40.0)]


@pytest.fixture
def field(tmp_path: Path) -> LabelledField:
    """Two dark dots and two bright ones; of one of each kind the label says the other."""
    pixels = np.full((160, 200, 3), 128, np.uint8)
    rows, cols = np.mgrid[:160, :200]
    for places, level in ((DARK, 10), (BRIGHT, 245)):
        for row, col in places:
            pixels[np.hypot(rows - row, cols - col) <= DOT_RADIUS] = level
    Image.fromarray(pixels).save(tmp_path / "field.png")
    return LabelledField(
        tmp_path / "field.png", "A", 0.25, np.array(DARK + BRIGHT), kinds=np.array([1, 2, 1, 2], np.int64)
    )


def test_a_detection_of_one_class_is_not_right_about_a_figure_of_another(field: LabelledField) -> None:
    evaluations = evaluate_classes(dark_and_bright_model(), [field], device="cpu", tissue=False, any_stain=True)
    assert list(evaluations) == ["dark", "bright"]
    for evaluation in evaluations.values():
        pooled = evaluation.report()["pooled"]
        assert (pooled["precision"], pooled["recall"], pooled["figures"]) == (0.5, 0.5, 2)


def test_a_segmentation_that_is_the_truth_has_no_error(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (80, 90), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "field.png")
    model = several_classes(task="segmentation", grey=True)
    unlabelled = LabelledField(tmp_path / "field.png", "A", 0.25, pixel_classes=np.zeros((80, 90), np.uint8))
    first = evaluate_segmentation(model, [unlabelled], device="cpu")
    truth = first.labels(first.fields[0])
    labelled = LabelledField(tmp_path / "field.png", "A", 0.25, pixel_classes=truth)
    again = evaluate_segmentation(model, [labelled], device="cpu")
    mean = again.report()["mean"]
    assert mean["pixel_error"] == 0.0
    assert set(mean["iou"].values()) == {1.0}
    write_segmentation_evaluation(tmp_path / "out", again)
    assert (tmp_path / "out" / "fields.csv").read_text().splitlines()[1].startswith("field.png,A,0.0")


@pytest.mark.slow
def test_the_shipped_membranes_close_on_a_section_that_was_not_seen(shared_data: Path) -> None:
    model = load_model("membrane-1")
    values = tuple(model.card.training["label_values"])
    fields = read_labelled(shared_data / "isbi12", LabelRules(0.004, model.card.classes, "segmentation", values))
    section = [field for field in fields if field.case == "19"]
    assert section[0].case in model.card.training["held_out"]
    mean = evaluate_segmentation(model, section, device="cpu").report()["mean"]
    assert mean["pixel_error"] < 0.09
    assert mean["v_rand"] > 0.9
