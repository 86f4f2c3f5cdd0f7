"""Scores that are not finite are an error that names the place, never background: every engine, precision and loop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from models import Model, ModelCard, save_model
from scanner import scan
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import Status
from scanner.batch.worklist import Job
from scanner.dense import densify
from scanner.errors import NonFiniteScoreError
from scanner.inference.scorer import prepare_scorer
from service.cli import all_commands
from tests.conftest import require_precision
from tests.networks.small_models import planted, random_model

PATCH = 13


def overflowing_model(*, score: float = 3e38) -> Model:
    """Scores of 0, and of infinity where the middle of a patch is white: finite weights, and numbers that overflow."""
    brightness = nn.Conv2d(3, 1, 12)
    brightness.weight.data.fill_(100 / brightness.weight.numel())
    brightness.bias.data.fill_(-95.0)  # White is 100.
    head = nn.Linear(1, 2)
    head.weight.data = torch.tensor([[0.0], [score]])
    head.bias.data.zero_()
    net = nn.Sequential(brightness, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), head).eval()
    card = ModelCard(
        name="overflow",
        version="1",
        architecture="none",
        arguments={},
        patch_size=PATCH,
        mpp=0.25,
        stride=2,
        threshold=0.3,
        radius_um=2.0,
        smoothing_um=0.5,
        margin_um=1.0,
    )
    return Model(card, net)


def field(path: Path, *, is_white: bool) -> Path:
    pixels = planted(120, 150, [(20, 30), (60, 40)])
    if is_white:
        pixels[70:100, 90:130] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"batch_size": 3},
        {"engine": "patch"},
        {"engine": "zones"},
        {"precision": "bfloat16"},
        {"coarse_to_fine": True},
        {"tissue": False, "tile_size": 16},
    ],
)
@pytest.mark.parametrize("score", [3e38, -3e38])
def test_a_score_that_is_infinite_ends_the_scan_and_names_the_tile(
    tmp_path: Path, keywords: dict[str, object], score: float
) -> None:
    require_precision(str(keywords.get("precision", "float32")))
    # With -inf the target's probability would be 0 exactly: background.
    model = overflowing_model(score=score)
    arguments: dict[str, object] = {"tissue": False, "tile_size": 32, "device": "cpu", **keywords}
    clean = scan(field(tmp_path / "clean.png", is_white=False), model, **arguments)  # type: ignore[arg-type]
    assert np.isfinite(np.asarray(clean.map)).all()
    with pytest.raises(NonFiniteScoreError) as caught:
        scan(field(tmp_path / "white.png", is_white=True), model, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(tmp_path / "white.png") in message
    assert f"precision {keywords.get('precision', 'float32')}" in message
    assert "form " in message
    assert "grid px" in message


def test_not_a_number_in_one_class_of_many_is_seen() -> None:
    model = random_model()
    scorer = prepare_scorer(model, None, stride=2, device="cpu")
    scorer = replace(scorer, card=replace(model.card, classes=("a", "b", "c"), target="a"))
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 2, 1, 0] = -torch.inf  # Beside b's, its exponential is 0: the sum would hide it.
    found = scorer.probability(logits)
    assert found.isnan().sum() == 1
    assert found[0, 0, 1, 0].isnan()


def test_a_coarse_look_that_is_no_number_is_no_background(tmp_path: Path) -> None:
    """Only the coarse net overflows: to the gate, NaN is nothing to look at."""
    from scanner.inference.coarse_to_fine import coarse_to_fine

    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = whole(images)
            scores[..., 1, 1] = torch.nan
            return scores

    model = random_model()
    scorer = coarse_to_fine(prepare_scorer(model, None, stride=2, device="cpu"), model, gate=0.99999, smoothing_px=2.0)
    whole = scorer.coarse_net
    side = scorer.context_px + 40
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    assert np.isfinite(scorer(pixels)).all()
    assert np.isnan(replace(scorer, coarse_net=Broken())(pixels)).all()


def test_the_slide_fails_by_name_and_the_batch_goes_on(tmp_path: Path) -> None:
    jobs = [
        Job(field(tmp_path / f"{name}.png", is_white=name == "white"), tmp_path / "out" / name)
        for name in ("white", "clean")
    ]
    outcomes = scan_batch(jobs, BatchOrder(overflowing_model(), {"tissue": False, "device": "cpu"}), tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.OK]
    assert "not finite" in outcomes[0].reason
    assert "unexpected" not in outcomes[0].reason
    assert not (tmp_path / "out" / "white" / "run.json").exists()
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["failed"] == 1


def test_a_model_with_broken_weights_is_one_line(tmp_path: Path) -> None:
    model = random_model()
    next(model.net.parameters()).data[0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteScoreError, match="weights"):
        densify(model.net, model.card.patch_size)
    save_model(tmp_path / "model", model)
    slide = field(tmp_path / "a.png", is_white=False)
    arguments = ["scan", str(slide), "-o", str(tmp_path / "out"), "-m", str(tmp_path / "model"), "--device", "cpu"]
    done = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(all_commands(), arguments)
    assert done.exit_code == 1
    assert "scores of noise are not finite" in done.stderr
    assert "Traceback" not in done.stderr
