"""The choice of a form: the fastest that says the same, kept under a key of all it depends on; failures are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scanner.devices.form_cache import keep_seconds, read_seconds
from scanner.devices.gpu_forms import GpuForm
from scanner.inference import form_choice
from scanner.inference.form_choice import SET_UP, choice_key, choose_form, continue_in_form, fastest
from scanner.inference.form_comparison import probe_pixels
from scanner.inference.scorer import Scorer, prepare_scorer
from tests.devices.gpu_failures import FAILURES, FakeCard, install
from tests.networks.small_models import random_model

SHAPE = (1, 51, 51, 3)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    return install(monkeypatch, tmp_path)


@pytest.fixture
def scorer() -> Scorer:
    return prepare_scorer(random_model(), None, stride=2, device="cpu")


def test_the_fastest_form_is_chosen_and_kept_for_the_next_process(card: FakeCard, scorer: Scorer) -> None:
    first = choose_form(scorer, SHAPE)
    assert first.form is GpuForm.TRITON_GRAPH
    assert set(first.seconds) == set(GpuForm)
    card.launches.clear()
    card.fastest = GpuForm.FRAGMENTS
    again = choose_form(scorer, SHAPE)
    assert (again.form, again.seconds) == (first.form, first.seconds)
    # It is still compared with the default form, and no other is tried.
    assert dict(card.launches) == {GpuForm.DILATION: SET_UP, GpuForm.TRITON_GRAPH: SET_UP}


@pytest.mark.parametrize("failure", FAILURES)
def test_what_fails_is_never_kept_and_tried_again_the_next_time(
    card: FakeCard, scorer: Scorer, failure: str, tmp_path: Path
) -> None:
    card.broken = {GpuForm.TRITON: (failure, 0), GpuForm.TRITON_GRAPH: (failure, 1)}
    first = choose_form(scorer, SHAPE)
    assert set(first.disqualified) >= {"triton"}
    assert first.form not in first.disqualified
    assert not (tmp_path / "mitoscan" / "forms.json").exists()
    card.broken = {}
    second = choose_form(scorer, SHAPE)
    assert (second.form, second.disqualified) == (GpuForm.TRITON_GRAPH, {})
    assert (tmp_path / "mitoscan" / "forms.json").exists()


def test_a_form_that_is_kept_and_fails_now_is_not_used_and_stays_what_it_was(
    card: FakeCard, scorer: Scorer, tmp_path: Path
) -> None:
    choose_form(scorer, SHAPE)
    kept = (tmp_path / "mitoscan" / "forms.json").read_text()
    card.break_all("no headers")
    choice = choose_form(scorer, SHAPE)
    assert choice.form is GpuForm.DILATION
    assert "gcc" in choice.disqualified["triton-graph"]
    assert (tmp_path / "mitoscan" / "forms.json").read_text() == kept


def test_a_form_that_the_network_cannot_have_does_not_keep_others_from_being_kept(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stand-in for the forms: a network that is no chain has no Triton form, today and tomorrow."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 2, 19), nn.Flatten()).eval()
    model = replace(random_model(), net=net)
    monkeypatch.setattr(form_choice, "describe_card", lambda _device: ("Fake GPU", "driver 1"))
    choice = choose_form(prepare_scorer(model, None, stride=2, device="cpu"), SHAPE, folder=tmp_path)
    assert set(choice.disqualified) == {"triton", "triton-graph"}
    assert "no chain" in choice.disqualified["triton"]
    (kept,) = read_seconds(tmp_path).values()
    assert set(kept) == set(GpuForm) - {"triton", "triton-graph"}


def test_the_key_holds_everything_that_the_choice_depends_on(
    card: FakeCard, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key_now(scorer: Scorer = scorer, shape: tuple[int, ...] = SHAPE) -> str | None:
        return choice_key(scorer, shape)

    keys = [key_now()]
    assert key_now() == keys[0]
    keys.append(key_now(shape=(1, 51, 52, 3)))
    keys.append(key_now(shape=(2, 51, 51, 3)))
    keys.append(key_now(replace(scorer, dtype=torch.bfloat16)))
    keys.append(key_now(replace(scorer, is_tf32=True)))
    keys.append(key_now(prepare_scorer(random_model(), None, stride=4, device="cpu")))
    keys.append(key_now(replace(scorer, card=replace(scorer.card, sha256="0" * 64))))
    keys.append(key_now(prepare_scorer(random_model(arguments={"hidden": 11}), None, stride=2, device="cpu")))
    for name, driver in (("Other GPU", "driver 1"), ("Fake GPU", "driver 2")):
        card.description = name, driver
        keys.append(key_now())
    for place, value in (("__version__", "9.9"), ("version.cuda", "99.9")):
        with monkeypatch.context() as patch:
            patch.setattr(f"torch.{place}", value)
            keys.append(key_now())
    for package in ("triton", "mitoscan"):
        with monkeypatch.context() as patch:
            patch.setattr(form_choice, "version", lambda asked, package=package: f"{asked}{asked == package}")
            keys.append(key_now())
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cudnn, "version", lambda: 99999)
        keys.append(key_now())
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_where_the_driver_does_not_say_its_version_nothing_is_kept(
    card: FakeCard, scorer: Scorer, tmp_path: Path
) -> None:
    card.description = None
    assert choose_form(scorer, SHAPE).form is GpuForm.TRITON_GRAPH
    assert not (tmp_path / "mitoscan" / "forms.json").exists()


def test_a_continued_form_is_compared_and_not_timed(card: FakeCard, scorer: Scorer) -> None:
    assert continue_in_form(scorer, SHAPE, GpuForm.FRAGMENTS).fallbacks == []
    assert dict(card.launches) == {GpuForm.DILATION: SET_UP, GpuForm.FRAGMENTS: SET_UP}
    card.launches.clear()
    assert continue_in_form(scorer, SHAPE, GpuForm.DILATION).form is GpuForm.DILATION
    assert not card.launches


def test_where_nothing_was_timed_the_default_form_is_taken() -> None:
    assert fastest({}) is GpuForm.DILATION
    assert fastest({"dilation": 0.2, "fragments": 0.1}) is GpuForm.FRAGMENTS


def test_the_tile_that_forms_are_compared_on_has_large_and_small_structure() -> None:
    pixels = probe_pixels((2, 70, 90, 3))
    assert (pixels.shape, pixels.dtype) == ((2, 70, 90, 3), np.uint8)
    np.testing.assert_array_equal(pixels, probe_pixels((2, 70, 90, 3)))
    blocks = pixels[:, :64, :80].reshape(2, 4, 16, 5, 16, 3)
    assert blocks.mean(axis=(2, 4)).std() > 30
    assert blocks.std(axis=(2, 4)).mean() > 10


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": {"magic": 1.0}}', '{"a": {}}'])
def test_a_file_that_is_none_of_ours_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "forms.json").write_text(content)
    assert read_seconds(tmp_path) == {}
    keep_seconds(tmp_path, "key", {"triton": 0.5})
    keep_seconds(tmp_path, "other", {"dilation": 0.25})
    assert read_seconds(tmp_path) == {"key": {"triton": 0.5}, "other": {"dilation": 0.25}}
    assert set(json.loads((tmp_path / "forms.json").read_text())) == {"key", "other"}
    assert [path.name for path in tmp_path.iterdir()] == ["forms.json"]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keep_seconds(tmp_path / "file", "key", {"triton": 0.5})
    assert read_seconds(tmp_path / "file") == {}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_on_a_card_every_form_that_runs_says_the_same(precision: str, tmp_path: Path) -> None:
    scorer = prepare_scorer(random_model(), None, stride=2, device="cuda", precision=precision)
    choice = choose_form(scorer, (1, 531, 531, 3), folder=tmp_path)
    assert "dilation" in choice.seconds
    assert not [reason for reason in choice.disqualified.values() if "off by" in reason]
