"""Laws of the second look: what the averaged network would have said at the same places, however the scan is cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models import Model
from models.card import BackgroundCalibration, card_from_toml, card_to_toml
from models.errors import CardError
from models.symmetry import Symmetric, odd_side
from scanner import scan
from scanner.dense import Form, densify
from scanner.detections import figures, rescoring
from scanner.detections.detection import Detection
from scanner.detections.rescoring import averaged, rescore
from scanner.errors import UnreadableRegionError
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import prepare_scorer
from scanner.maps.smoothing import smooth
from scanner.result import ScanResult
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

#: Rounding of float32 probabilities; where the native form runs, there is none.
CLOSE = 1e-6


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    write_pyramid(path, texture(397, 331), levels=1, mpp=0.25)
    return path


def looking_again(model: Model, *, least: float = 0.0, background: BackgroundCalibration | None = None) -> Model:
    return replace(model, card=replace(model.card, second_look=least, background=background))


def averaged_everywhere(model: Model) -> Model:
    size = model.card.patch_size
    card = replace(model.card, symmetries=8, patch_size=odd_side(size))
    return replace(model, net=Symmetric(model.net, size).eval(), card=card)


def map_place(one: Detection, result: ScanResult) -> tuple[int, int]:
    frame = result.map.frame
    return round(frame.map_from_level0(one.row)), round(frame.map_from_level0(one.col))


@pytest.mark.parametrize(("patch_size", "smoothing_um"), [(21, 1.0), (22, 2.3), (22, 0.0)])
def test_scores_are_those_of_a_scan_by_the_averaged_network(slide: Path, patch_size: int, smoothing_um: float) -> None:
    model = random_model(patch_size=patch_size, stride=4, stain=True)
    model = replace(model, card=replace(model.card, smoothing_um=smoothing_um))
    plain, result = scan(slide, model, device="cpu"), scan(slide, looking_again(model), device="cpu")
    everywhere = scan(slide, averaged_everywhere(model), device="cpu")
    np.testing.assert_array_equal(np.asarray(result.map), np.asarray(plain.map))
    smoothed = smooth(np.asarray(everywhere.map), smoothing_um / result.map.frame.map_mpp)
    expected = {map_place(one, plain): float(smoothed[map_place(one, plain)]) for one in plain.candidates}
    found = {map_place(one, result): one.score for one in result.candidates}
    assert found == pytest.approx({place: score for place, score in expected.items() if place in found}, abs=CLOSE)
    assert all(score < 0.05 + CLOSE for place, score in expected.items() if place not in found)
    raw = {map_place(one, plain): one.score for one in plain.candidates}
    assert all(one.raw_score == raw[map_place(one, result)] for one in result.candidates)
    assert [one.score for one in result.candidates] == sorted(found.values(), reverse=True)


def test_they_depend_neither_on_tiles_nor_on_threads(slide: Path) -> None:
    model = looking_again(random_model(stride=4, stain=True))
    first, second = (
        scan(slide, model, device="cpu", tile_size=size, workers=workers) for size, workers in ((64, 1), (200, 3))
    )
    ours, others = ({map_place(one, found): one for one in found.candidates} for found in (first, second))
    assert ours.keys() == others.keys()
    if densify(model.net, model.card.patch_size, 4).form is Form.NATIVE:
        assert first.candidates == second.candidates
    for place, one in ours.items():  # Sums of torch's forms may have another order in another tile.
        other = others[place]
        np.testing.assert_allclose((one.score, one.raw_score), (other.score, other.raw_score), rtol=0, atol=CLOSE)


def test_candidates_are_seen_side_by_side_as_tiles_are() -> None:
    scorer = prepare_scorer(random_model(), None, stride=4, device="cpu")
    assert averaged(scorer).at_once == scorer.at_once


def test_candidates_of_little_score_are_not_seen_again(slide: Path) -> None:
    model = random_model(stride=4, stain=True)
    plain = scan(slide, model, device="cpu")
    everywhere = scan(slide, looking_again(model), device="cpu")
    least = sorted(one.score for one in plain.candidates)[len(plain.candidates) // 2]
    result = scan(slide, looking_again(model, least=least), device="cpu")
    raw = {map_place(one, plain): one.score for one in plain.candidates}
    again = {map_place(one, everywhere): one.score for one in everywhere.candidates}
    expected = {place: again.get(place) if score >= least else score for place, score in raw.items()}
    found = {map_place(one, result): one.score for one in result.candidates}
    assert found == {place: score for place, score in expected.items() if score is not None}
    assert {one.raw_score is None for one in result.candidates} == {True, False}


def test_a_slide_full_of_candidates_has_its_best_ones_seen_again(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescoring, "MOST_PER_MM2", 100)
    monkeypatch.setattr(rescoring, "MOST_AT_LEAST", 3)
    model = random_model(stride=4, stain=True)
    plain, result = scan(slide, model, device="cpu"), scan(slide, looking_again(model), device="cpu")
    assert len(plain.candidates) > 3
    seen = {map_place(one, result): one.raw_score for one in result.candidates if one.raw_score is not None}
    assert set(seen.items()) <= {(map_place(one, plain), one.score) for one in plain.candidates[:3]}
    assert len(plain.candidates) - 3 <= len(result.candidates) <= len(plain.candidates)


def test_the_background_comes_off_afterwards(slide: Path, tmp_path: Path) -> None:
    background = BackgroundCalibration(reference=-1.0, quantile=0.9)
    model = looking_again(random_model(stride=4, stain=True), background=background)
    result = scan(slide, model, tmp_path / "out", device="cpu")
    assert min(one.score for one in result.candidates) >= 0.05
    values = smooth(np.asarray(result.map), model.card.smoothing_um / result.map.frame.map_mpp)
    assert all(one.raw_score == values[map_place(one, result)] for one in result.candidates)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["second_look"] == 0


def test_what_cannot_be_read_any_more_keeps_its_score(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(stride=4, stain=True)

    def refuse(*_arguments: object) -> None:
        raise UnreadableRegionError("the disk is gone")

    def without_pixels(
        prepared: PreparedSlide, candidates: tuple[Detection, ...], **options: Any
    ) -> tuple[Detection, ...]:
        blind: Any = SimpleNamespace(read=refuse)
        return rescore(replace(prepared, survey=replace(prepared.survey, grid=blind)), candidates, **options)

    monkeypatch.setattr(figures, "rescore", without_pixels)
    assert scan(slide, looking_again(model), device="cpu").candidates == scan(slide, model, device="cpu").candidates


def test_the_card_keeps_it_and_refuses_what_makes_no_sense() -> None:
    card = looking_again(random_model()).card
    assert card_from_toml(card_to_toml(card)) == card
    with pytest.raises(CardError, match=r"second_look = 0\.0 is impossible"):
        replace(card, symmetries=8, patch_size=21)
    with pytest.raises(CardError, match=r"second_look = 0\.0 is impossible"):
        replace(card, task="segmentation")
    with pytest.raises(CardError, match=r"second_look = 0\.0 is impossible"):
        replace(card, architecture="p4mnet")  # All eight looks would be the same.
