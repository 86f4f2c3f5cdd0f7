"""The form on a GPU: the fastest of those measured, measured once, and the same one in every later process."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scanner.dense import densify
from scanner.dense.device_forms import LEAST_PX, DeviceForms, FormChoice, keep_choice, measure_forms, read_choices
from scanner.dense.triton_chain import TritonUnavailableError
from tests.small_models import random_model

CPU = torch.device("cpu")


def out_of_memory() -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_the_fastest_form_is_chosen() -> None:
    choice = measure_forms({"slow": lambda: time.sleep(0.05), "fast": lambda: None}, CPU)
    assert choice.form == "fast"
    assert choice.seconds["slow"] >= 0.05 > choice.seconds["fast"]
    assert str(choice).startswith("fast (fast ")


def uncompiled() -> Tensor:
    raise TritonUnavailableError("out of resource: shared memory")


def test_a_form_that_the_device_cannot_run_is_not_chosen() -> None:
    assert measure_forms({"triton": uncompiled, "slow": lambda: time.sleep(0.01)}, CPU).form == "slow"
    assert measure_forms({"large": out_of_memory, "slow": lambda: time.sleep(0.01)}, CPU).form == "slow"
    with pytest.raises(torch.OutOfMemoryError):
        measure_forms({"large": out_of_memory, "larger": out_of_memory}, CPU)


@pytest.fixture
def forms(tmp_path: Path) -> DeviceForms:
    model = random_model(patch_size=21)
    dense = densify(model.net, 21, 2)
    return DeviceForms(dense.graph, dense.layout, folder=tmp_path)


@torch.inference_mode()
def test_a_choice_is_kept_and_read_again(forms: DeviceForms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(1, 3, 384, 384)
    forms.triton = None  # Its interpreter takes minutes for a tile.
    first = forms.choose(images)
    assert set(first.seconds) == {"dilation", "fragments"}
    again = DeviceForms(forms.graph, forms.layout, folder=tmp_path)
    again.triton = None
    monkeypatch.setattr("scanner.dense.device_forms.measure_forms", lambda *_: pytest.fail("measured twice"))
    assert again.choose(images) == first
    # Other numbers, or another network, are another question.
    assert again._key(images) != again._key(images.half())


@torch.inference_mode()
def test_the_choice_rests_on_a_tile_and_never_changes_the_scores(forms: DeviceForms) -> None:
    small, large = torch.rand(1, 3, 40, 44), torch.rand(1, 3, 384, 384)
    assert small.shape[2] * small.shape[3] < LEAST_PX <= large.shape[2] * large.shape[3]
    for name in ("dilation", "fragments"):
        forms.choices[forms._key(large)] = FormChoice(name, {name: 1.0})
        torch.testing.assert_close(forms(large)[:, :, :182, :182], forms.run("dilation", large)[:, :, :182, :182])
    assert forms(small).equal(forms.run("dilation", small))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": {"form": "x"}}'])
def test_a_file_that_is_none_of_ours_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "forms.json").write_text(content)
    assert read_choices(tmp_path) == {}
    keep_choice(tmp_path, "key", FormChoice("triton", {"triton": 0.5}))
    keep_choice(tmp_path, "other", FormChoice("dilation", {"dilation": 0.25}))
    assert read_choices(tmp_path)["key"] == FormChoice("triton", {"triton": 0.5})
    assert set(json.loads((tmp_path / "forms.json").read_text())) == {"key", "other"}
    assert [path.name for path in tmp_path.iterdir()] == ["forms.json"]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keep_choice(tmp_path / "file", "key", FormChoice("triton", {"triton": 0.5}))
    assert read_choices(tmp_path / "file") == {}
