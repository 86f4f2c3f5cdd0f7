from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models import load_model
from models.errors import CardError
from models.layers import Layers, build_layers, describe_layers
from scanner.errors import SettingsError
from scanner.training.loss import dense_loss
from scanner.training.own_network import PatchTrained, make_network, own_stride, slides, trainable, trained
from scanner.training.recipe import Recipe, read_recipe
from scanner.training.train import train
from tests.networks.reference import patch_loss

CHAIN = """
from torch import nn

def build(maps=6):
    return nn.Sequential(
        nn.Conv2d(3, maps, 3), nn.BatchNorm2d(maps), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(maps, maps, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(maps * 16, 2),
    )
"""
#: Not dense: the mean is over the patch, so over a whole crop it is another one.
MEAN = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
"""
FORWARD = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 22)

    def forward(self, x):
        return self.conv(x).flatten(1) * 2

def build():
    return Net()
"""


def own(tmp_path: Path, text: str, **arguments: int) -> Recipe:
    (tmp_path / "network.py").write_text(text)
    return Recipe("own", "1", str(tmp_path / "network.py"), {"patch_size": 22, **arguments}, network_stride=4)


def test_a_chain_is_written_down_and_built_again(tmp_path: Path) -> None:
    net = make_network(own(tmp_path, CHAIN, maps=4)).eval()
    again = build_layers(layers=describe_layers(net), patch_size=22).eval()
    again.load_state_dict(net.state_dict())
    patches = torch.randn(3, 3, 22, 22)
    torch.testing.assert_close(again(patches), net(patches), rtol=0, atol=0)


def test_its_stride_is_told_by_its_layers(tmp_path: Path) -> None:
    assert own_stride(make_network(own(tmp_path, CHAIN))) == 4


def test_layers_that_slide_are_trained_densely_and_others_patch_by_patch(tmp_path: Path) -> None:
    dense = own(tmp_path, CHAIN)
    assert slides(make_network(dense), dense)
    mean = own(tmp_path, MEAN)
    net = make_network(mean)
    assert not slides(net, mean)
    assert isinstance(trainable(net, mean), PatchTrained)
    assert trained(trainable(net, mean)) is net


def test_patch_by_patch_has_the_loss_of_all_patches(tmp_path: Path) -> None:
    recipe = own(tmp_path, MEAN)
    net = make_network(recipe).double().eval()
    images = torch.randn(2, 3, 26, 26, dtype=torch.float64)
    targets = torch.tensor([[[1, 0], [-1, 0]], [[0, -1], [-1, 1]]])
    expected = patch_loss(net, images, targets, patch_size=22, stride=4)
    torch.testing.assert_close(dense_loss(trainable(net, recipe), images, targets), expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FORWARD, "no chain of layers"),
        ("def build():\n    return 3\n", "returned int"),
        ("def build():\n    raise ValueError('nothing')\n", "nothing"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("", "no attribute 'build'"),
        ("from torch import nn\n\ndef build():\n    return nn.Sequential(nn.GRU(3, 2))\n", "a GRU"),
    ],
)
def test_a_file_that_builds_no_chain_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make_network(own(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no Python file"):
        make_network(Recipe("own", "1", str(tmp_path / "none.py"), {"patch_size": 22}))


@pytest.mark.parametrize("entry", [{"kind": "Embedding"}, {"kind": "ReLU", "inplace": True}, {"kind": "__class__"}])
def test_a_card_cannot_name_other_layers(entry: dict[str, object]) -> None:
    with pytest.raises(CardError, match="layer 0"):
        build_layers(layers=[entry], patch_size=3)


def test_a_trained_network_of_ones_own_loads_without_its_file(data_folder, small_recipe, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(CHAIN)
    (tmp_path / "recipe.toml").write_text(
        'name = "own"\nversion = "1"\narchitecture = "network.py"\nfields = "fields"\nmpp = 0.25\nsteps = 3\n'
        'batch_size = 4\nmining = []\ntuned_on = ["C"]\n[arguments]\npatch_size = 22\n[card]\nstride = 2\n'
    )
    recipe = read_recipe(tmp_path / "recipe.toml")
    model = train(recipe, data_folder, tmp_path / "model")
    (tmp_path / "network.py").unlink()
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded.net, Layers)
    assert (loaded.card.architecture, loaded.card.stride) == ("layers", 2)
    assert loaded.card.training["tuned_on"] == ["C"]
    assert loaded.card.training["cases"] == ["A", "B"]
    patches = torch.from_numpy(np.random.default_rng(0).random((2, 3, 22, 22), np.float32))
    torch.testing.assert_close(loaded.net(patches), model.net(patches))


def test_a_recipe_of_another_card_is_refused(data_folder, small_recipe, tmp_path: Path) -> None:
    recipe = replace(small_recipe, steps=1, mining=(), card={"colour": "red"})
    with pytest.raises(SettingsError, match=r"\[card\].*colour"):
        train(recipe, data_folder, tmp_path / "model")
    assert isinstance(make_network(small_recipe), nn.Module)
