"""Several kinds of defect on a grey surface, as on rolled steel: trained on label images, mapped class by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models import load_model
from scanner import scan
from scanner.evaluation.segmentations import evaluate_segmentation
from scanner.labels.folder import LabelRules, read_labelled
from scanner.training.loop import TrainSettings
from scanner.training.recipe import recipe_from_toml
from scanner.training.train import train

SIDE = 128
CLASSES = ("sound", "pit", "scratch")
RECIPE = """
name = "defects"
version = "1"
task = "segmentation"
classes = ["sound", "pit", "scratch"]
architecture = "validnet"
mpp = 1.0
held_out = ["3"]
outputs = 9
batch_size = 8
steps = 200
learning_rate = 3e-3
averaging = 0.9
smoothing = 0.0
mining = []
shares = { figures = 0.3, tissue = 0.7 }
[augmentation]
blur = 0.0
noise = 0.0
[arguments]
channels = 1
classes = 3
stem = 8
stem_kernel = 4
stages = [12]
head = 16
patch_size = 32
[card]
stride = 2
smoothing_um = 1.0
"""


def surface(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A rolled surface with dark pits and bright scratches, and the class of every pixel."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    grey = 128 + 6 * np.sin(rows / 3) + rng.normal(0, 6, (SIDE, SIDE))
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(7):
        row, col = rng.uniform(8, SIDE - 8, 2)
        labels[np.hypot(rows - row, cols - col) <= 5] = 1
    for _ in range(3):
        row, col, slope = rng.uniform(10, SIDE - 10), rng.uniform(10, SIDE - 60), rng.uniform(-0.5, 0.5)
        on_line = (np.abs(rows - row - slope * (cols - col)) <= 2.5) & (cols >= col) & (cols < col + 50)
        labels[on_line & (labels == 0)] = 2
    grey[labels == 1] -= 60
    grey[labels == 2] += 60
    return grey.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steel")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for seed in range(4):
        grey, labels = surface(seed)
        Image.fromarray(grey).save(folder / "images" / f"{seed}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{seed}.png")
    return folder


@pytest.mark.slow
def test_each_kind_of_defect_is_mapped_on_a_surface_that_was_not_trained_on(folder: Path, tmp_path: Path) -> None:
    train(recipe_from_toml(RECIPE), folder, tmp_path / "model", settings=TrainSettings("cpu", report_every=40))
    model = load_model(tmp_path / "model")
    assert (model.card.mapped, model.card.training["cases"]) == (CLASSES[1:], ["0", "1", "2"])
    fields = [field for field in read_labelled(folder, LabelRules(1.0, CLASSES, "segmentation")) if field.case == "3"]
    figures = evaluate_segmentation(model, fields, device="cpu").report()["mean"]
    assert figures["pixel_error"] < 0.05
    assert min(figures["iou"].values()) > 0.5
    result = scan(folder / "images" / "3.png", model, tmp_path / "out", mpp=1.0)
    shares = {row["name"]: row["share"] for row in result.report["classes"]}
    truth = {name: float((surface(3)[1] == label).mean()) for label, name in enumerate(CLASSES)}
    assert shares == pytest.approx(truth, abs=0.03)
    assert (tmp_path / "model" / "training.png").is_file()
