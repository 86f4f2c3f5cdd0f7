"""Where certificates lie, and what run.json says of them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import Model, load_model, save_model
from models.card import write_card
from models.normalisation import Normalisation
from models.registry import CERTIFICATE_NAME
from scanner import scan
from scanner.inference.certificates import certificate_for, describe_in_words, keep_certificate
from tests.dense.test_capabilities import AVX2
from tests.networks.small_models import random_model


@pytest.fixture
def on_avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose processor has no bfloat16."""
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: AVX2)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    save_model(tmp_path / "m", random_model())
    return load_model(tmp_path / "m")


def test_a_first_scan_certifies_and_names_the_certificate(model: Model, tmp_path: Path) -> None:
    field = tmp_path / "field.png"
    Image.fromarray(np.full((60, 60, 3), (225, 170, 205), np.uint8)).save(field)
    named = scan(field, model, tissue=False).report["certificate"]
    assert (named["is_exact"], named["runs"]) == (True, "dense")
    content = json.loads((tmp_path / "m" / CERTIFICATE_NAME).read_text())
    assert certificate_for(load_model(tmp_path / "m"), 2) == named, "a second scan says the same"
    assert content["positions"] == named["positions"]


def test_a_certificate_counts_for_its_own_preprocessing_alone(model: Model, tmp_path: Path) -> None:
    first = certificate_for(model, 2)
    write_card(tmp_path / "m", replace(model.card, normalisation=Normalisation(mean=(0.4,) * 3)))
    other = certificate_for(load_model(tmp_path / "m"), 2)
    assert other["sha256"] != first["sha256"]
    (tmp_path / "m" / CERTIFICATE_NAME).write_text("{}")
    assert certificate_for(load_model(tmp_path / "m"), 2) == other


def test_where_the_folder_cannot_be_written_it_goes_to_the_cache(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "m" / CERTIFICATE_NAME).mkdir()  # Nobody, not even root, writes a file there.
    (tmp_path / "m" / CERTIFICATE_NAME / "x").touch()
    first = certificate_for(model, 2)
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1
    assert certificate_for(load_model(tmp_path / "m"), 2) == first, "a second scan says the same"
    assert keep_certificate(model, {"x": 1}).is_relative_to(tmp_path / "cache")
    assert [name for name in os.listdir(tmp_path / "m") if name.startswith(".")] == []


def test_a_certificate_of_another_machine_is_accepted(model: Model, tmp_path: Path, on_avx2: None) -> None:
    made = certificate_for(model, 2)
    path = tmp_path / "m" / CERTIFICATE_NAME
    content = json.loads(path.read_text())
    assert "not run: bfloat16 (oneDNN has no bfloat16 convolutions" in describe_in_words(content)
    # As one with a matrix unit writes it, and as one was written before certificates said what was left out.
    content["max_difference"]["bfloat16"] = 0.01
    del content["not_run"]
    path.write_text(json.dumps(content))
    found = certificate_for(load_model(tmp_path / "m"), 2)
    assert found["max_difference"]["bfloat16"] == 0.01
    assert found["sha256"] != made["sha256"]
    assert json.loads(path.read_text()) == content, "it is kept as it was made"
    assert "not run" not in describe_in_words(content)


def test_saving_a_model_ends_the_old_certificate(model: Model, tmp_path: Path) -> None:
    certificate_for(model, 2)
    save_model(tmp_path / "m", random_model(seed=1))
    assert not (tmp_path / "m" / CERTIFICATE_NAME).exists()
