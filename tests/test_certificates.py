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
from scanner.certificates import certificate_for, keep_certificate
from tests.small_models import random_model


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


def test_saving_a_model_ends_the_old_certificate(model: Model, tmp_path: Path) -> None:
    certificate_for(model, 2)
    save_model(tmp_path / "m", random_model(seed=1))
    assert not (tmp_path / "m" / CERTIFICATE_NAME).exists()
