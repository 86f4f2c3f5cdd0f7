"""bfloat16 is asked for, never assumed, and stays close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import load_model
from scanner import scan
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.worklist import Job
from scanner.devices.device import choose_device
from scanner.errors import SettingsError, UnavailableError
from scanner.inference.scorer import prepare_scorer
from scanner.settings import ScanSettings
from tests.conftest import require_precision
from tests.dense.test_capabilities import AVX2
from tests.factories.slides import texture
from tests.networks.small_models import random_model

#: bfloat16 keeps 8 bits of a number; a logit of order 1 to 10 is sure to about this, a probability to a quarter of it.
CLOSE = 0.05


@pytest.mark.parametrize("engine", ["dense", "patch"])
def test_bfloat16_scores_are_close_and_leave_the_model_as_it_is(engine: str) -> None:
    require_precision("bfloat16")
    model = load_model("mitosis-1")
    pixels = np.random.default_rng(5).integers(90, 240, (1, 118, 126, 3), dtype=np.uint8)
    exact, fast = (
        prepare_scorer(model, None, stride=8, device="cpu", engine=engine, precision=precision)(pixels)
        for precision in ("float32", "bfloat16")
    )
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, exact, rtol=0, atol=CLOSE)
    assert next(model.net.parameters()).dtype == torch.float32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_scan_in_few_bits_says_how_far_off_it_is(tmp_path: Path, precision: str) -> None:
    require_precision(precision)
    Image.fromarray(texture(90, 80)).save(tmp_path / "field.png")
    model = random_model(patch_size=21)
    result = scan(tmp_path / "field.png", model, precision=precision, tile_size=32)
    if precision == "float32":
        assert "precision" not in result.report
        return
    exact = scan(tmp_path / "field.png", model, tile_size=32)
    said = result.report["precision"]
    assert said["name"] == precision
    assert 0 < said["mean_difference"] < said["max_difference"] < CLOSE
    # Some of the map's values are compared: no difference is larger than the largest of all.
    assert said["max_difference"] <= np.abs(np.asarray(result.map) - np.asarray(exact.map)).max() + 1e-6


def test_an_unknown_precision_is_refused() -> None:
    assert ScanSettings().precision == "float32"
    with pytest.raises(SettingsError, match="precision = 'int8'"):
        ScanSettings(precision="int8")


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_what_the_machine_has_not_is_refused_before_the_slide_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: AVX2)
    model, slide = random_model(), tmp_path / "no such slide.svs"
    with pytest.raises(UnavailableError, match=f"precision = '{precision}'.* it has float32$"):
        scan(slide, model, tmp_path / "out", precision=precision, device="cpu")
    with pytest.raises(UnavailableError, match=precision):
        scan_batch([Job(slide, tmp_path)], BatchOrder(model, {"precision": precision, "device": "cpu"}), tmp_path)
    with pytest.raises(UnavailableError, match=precision):
        prepare_scorer(model, None, stride=2, device="cpu", precision=precision)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["cuda:63", "meta", "mps:9"])
def test_a_device_that_is_not_there_is_refused_naming_those_that_are(device: str) -> None:
    with pytest.raises(UnavailableError, match=rf"device '{device}' is not available: torch can use cpu.* here"):
        choose_device(device)


def test_a_device_that_torch_has_no_name_for_is_no_device() -> None:
    with pytest.raises(SettingsError, match="device 'abacus' is unknown; pass auto, cpu, cuda"):
        choose_device("abacus")
