"""Laws of background calibration: from the slide alone, order kept, raw scores kept."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.special import expit

from models import Model
from models.card import BackgroundCalibration, card_from_toml, card_to_toml
from scanner import scan
from scanner.detections.background import (
    Background,
    background_of,
    finite_logit,
    raw_from_calibrated,
    subtract_background,
)
from scanner.detections.detection import Detection
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

CALIBRATION = BackgroundCalibration(reference=-1.0, quantile=0.9)
#: Rounding of float32 probabilities, seen through the logit.
LOGIT_TOLERANCE = 1e-4


def model_with(background: BackgroundCalibration | None) -> Model:
    model = random_model(stride=4, stain=True)
    return replace(model, card=replace(model.card, background=background))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    write_pyramid(path, texture(397, 331), levels=1, mpp=0.25)
    return path


def found(score: float, row: float = 10.0) -> Detection:
    return Detection(row, 10.0, 2.5, 2.5, score, "mitosis", border=False)


@given(st.lists(st.floats(0.001, 0.999), max_size=12), st.floats(-3, 3))
def test_scores_keep_their_order_and_their_raw_value(scores, shift):
    before = tuple(sorted((found(s, row) for row, s in enumerate(scores)), key=lambda d: (-d.score, d.row)))
    after = subtract_background(before, Background(0.0, 1.0, shift))
    assert [one.raw_score for one in after] == [one.score for one in before]
    np.testing.assert_allclose(
        [finite_logit(d.score) for d in after], [finite_logit(d.score) - shift for d in before], atol=1e-6
    )


@given(st.floats(0.01, 0.99), st.floats(-3, 3))
def test_what_is_at_the_raw_floor_is_at_the_floor(floor, shift):
    background = Background(0.0, 1.0, shift)
    (one,) = subtract_background((found(raw_from_calibrated(floor, background)),), background)
    assert one.score == pytest.approx(floor, abs=1e-9)


def test_a_slide_like_those_trained_on_keeps_its_scores():
    values = np.full(1000, expit(-1.0), np.float32)
    assert background_of(values, area_mm2=1.0, calibration=CALIBRATION).shift == pytest.approx(0, abs=1e-6)
    assert background_of(values[:0], area_mm2=0.0, calibration=CALIBRATION).shift == 0.0


def test_small_samples_are_trusted_less_and_no_shift_is_beyond_the_most():
    values = np.full(1000, expit(0.0), np.float32)
    doubting = replace(CALIBRATION, doubted_mm2=0.5)
    assert background_of(values, area_mm2=0.5, calibration=doubting).shift == pytest.approx(0.5, abs=1e-6)
    assert background_of(values, area_mm2=1e9, calibration=doubting).shift == pytest.approx(1.0, abs=1e-6)
    assert background_of(values, area_mm2=1.0, calibration=replace(CALIBRATION, most=0.25)).shift == 0.25


def test_the_card_keeps_it(tmp_path):
    card = model_with(CALIBRATION).card
    assert card_from_toml(card_to_toml(card)) == card
    assert card_from_toml(card_to_toml(model_with(None).card)).background is None


def test_a_scan_takes_it_off_and_says_so(slide, tmp_path):
    raw = scan(slide, model_with(None), device="cpu")
    result = scan(slide, model_with(CALIBRATION), tmp_path / "out", device="cpu")
    np.testing.assert_array_equal(np.asarray(result.map), np.asarray(raw.map))
    values = np.asarray(raw.map)
    assert result.background.score == pytest.approx(finite_logit(np.quantile(values, 0.9)), abs=LOGIT_TOLERANCE)
    assert result.background.shift == pytest.approx(result.background.score + 1.0)
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["background"] == {
        "score": result.background.score,
        "area_mm2": pytest.approx(values.size * 1e-6),
        "shift": result.background.shift,
    }
    assert min(one.score for one in result.candidates) >= 0.05
    scores = {(one.row, one.col): one.score for one in raw.candidates}
    common = [one for one in result.candidates if (one.row, one.col) in scores]
    assert common
    assert all(one.raw_score == scores[one.row, one.col] for one in common)
    with (tmp_path / "out" / "candidates.csv").open(newline="") as file:
        written = [float(row["raw_score"]) for row in csv.DictReader(file)]
    assert written == [pytest.approx(one.raw_score) for one in result.candidates]


def test_without_it_scores_are_raw(slide):
    plain = scan(slide, model_with(None), device="cpu")
    switched_off = scan(slide, model_with(CALIBRATION), device="cpu", background=False)
    assert switched_off.background is None
    assert switched_off.candidates == plain.candidates


def test_neither_tiles_nor_what_is_left_out_change_it(slide, tmp_path):
    model = model_with(CALIBRATION)
    whole = scan(slide, model, device="cpu")
    ring = [[0, 0], [160, 0], [160, 200], [0, 200], [0, 0]]
    mask = tmp_path / "mask.geojson"
    mask.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    for keywords in ({"tile_size": 64}, {"tile_size": 200}, {"mask": mask}, {"coarse_to_fine": True, "stride": 4}):
        other = scan(slide, model, device="cpu", **keywords)
        assert other.background.score == pytest.approx(whole.background.score, abs=LOGIT_TOLERANCE)
        assert other.background.area_mm2 == pytest.approx(whole.background.area_mm2)


def test_a_finer_scan_has_the_same_background(slide):
    model = random_model(stride=8, stain=True)
    model = replace(model, card=replace(model.card, background=CALIBRATION, smoothing_um=2.0))
    usual = scan(slide, model, device="cpu").background
    assert usual.area_mm2 > 0
    for stride, is_coarse in ((4, False), (2, False), (1, False), (2, True)):
        found = scan(slide, model, device="cpu", stride=stride, coarse_to_fine=is_coarse).background
        assert found.score == pytest.approx(usual.score, abs=LOGIT_TOLERANCE)
        assert found.area_mm2 == pytest.approx(usual.area_mm2)
    coarser = scan(slide, model, device="cpu", stride=16).background
    assert coarser.area_mm2 == pytest.approx(usual.area_mm2, rel=0.05)


def test_a_mask_does_not_change_it(slide, tmp_path):
    model = random_model(stride=8, stain=True)
    model = replace(model, card=replace(model.card, background=CALIBRATION))
    mask = np.zeros((397, 331), np.uint8)
    mask[:150, :150] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    whole = scan(slide, model, device="cpu", stride=4).background
    part = scan(slide, model, device="cpu", stride=4, mask=tmp_path / "mask.png").background
    assert part.score == pytest.approx(whole.score, abs=LOGIT_TOLERANCE)
    assert part.area_mm2 == pytest.approx(whole.area_mm2)
