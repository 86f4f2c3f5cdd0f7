"""A training that begins with a model begins with what that model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import Model, ModelCard, save_model
from models.columns.p4mnet import P4MNet
from models.families import build_network
from scanner.errors import SettingsError
from scanner.training.own_network import make_network
from scanner.training.recipe import Recipe, read_recipe

ARGUMENTS = {"stem": 8, "stem_kernel": 5, "stages": [8], "head": 8, "patch_size": 31, "dropout": 0.0}


@pytest.fixture(params=["validnet", "p4mnet"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(3)
    net = build_network(request.param, ARGUMENTS).eval()
    plain = net.written_out() if isinstance(net, P4MNet) else net
    card = ModelCard("first", "1", request.param, ARGUMENTS, patch_size=31, mpp=0.25, stride=4)
    save_model(tmp_path / "first", Model(card, plain))
    return tmp_path / "first"


def recipe_of(saved: Path, **changes: object) -> Recipe:
    architecture = "p4mnet" if "p4mnet" in (saved / "card.toml").read_text() else "validnet"
    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in ARGUMENTS.items()}
    return replace(Recipe("second", "1", architecture, arguments, begin=str(saved)), **changes)


def test_the_network_is_that_of_the_model(saved: Path) -> None:
    from models import load_model

    patches = torch.rand(4, 3, 31, 31)
    begun = make_network(recipe_of(saved)).eval()
    torch.testing.assert_close(begun(patches), load_model(saved).net(patches), rtol=0, atol=1e-5)
    assert all(parameter.requires_grad for parameter in begun.parameters())


def test_another_network_is_refused_by_name(saved: Path) -> None:
    with pytest.raises(SettingsError, match=r"begin = .*first"):
        make_network(recipe_of(saved, arguments=ARGUMENTS | {"head": 16}))


@pytest.mark.parametrize("begin", ["first", "mitosis-1"])
def test_a_folder_beside_the_recipe_is_found(saved: Path, begin: str) -> None:
    path = saved.parent / "recipe.toml"
    lines = ['name = "a"', 'version = "1"', 'architecture = "validnet"', f'begin = "{begin}"', "[arguments]"]
    path.write_text("\n".join([*lines, "patch_size = 31"]))
    assert read_recipe(path).begin == (str(saved) if begin == "first" else begin)
