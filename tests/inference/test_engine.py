"""Which way a network runs, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models import Model
from scanner import scan
from scanner.dense import DenseNet, PatchwiseNet
from scanner.dense.zones import ZonedNet
from scanner.errors import InexactLayerError
from scanner.inference.engine import choose_network, describe_network
from tests.networks.padded import vgg_like
from tests.networks.small_models import random_model

_SIDE = 21


def model_of(net: nn.Module) -> Model:
    return Model(random_model(patch_size=_SIDE, stride=4).card, net)


def padded_model() -> Model:
    torch.manual_seed(1)
    net = vgg_like((4, 6), _SIDE)
    for parameter in net.parameters():
        parameter.data *= 2.5
    return model_of(net)


def gated_model() -> Model:
    return model_of(nn.Sequential(nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(3 * _SIDE**2, 2)).eval())


def test_each_network_runs_the_cheapest_exact_way() -> None:
    assert isinstance(choose_network(random_model(), stride=2), DenseNet)
    assert isinstance(choose_network(padded_model(), stride=2), ZonedNet)
    assert isinstance(choose_network(padded_model(), stride=2, engine="patch"), PatchwiseNet)
    with pytest.raises(InexactLayerError, match=r"'0'.*GroupNorm.*pass --engine patch"):
        choose_network(gated_model(), stride=2)


def test_where_zones_do_not_pay_the_refusal_says_what_they_cost() -> None:
    deep = model_of(vgg_like((8,), _SIDE, convolutions=12))
    with pytest.raises(InexactLayerError, match=r"'0'.*padding.*would not be cheaper.*MFLOP.*pass --engine patch"):
        choose_network(deep, stride=64)
    assert isinstance(choose_network(deep, stride=64, engine="zones"), ZonedNet)


def test_networks_are_described_with_what_they_cost() -> None:
    assert describe_network(choose_network(random_model(), stride=2)).startswith("dense, 0.0")
    assert "times as many" in describe_network(choose_network(padded_model(), stride=2))
    one_by_one = choose_network(gated_model(), stride=2, engine="patch")
    assert describe_network(one_by_one) == f"patch by patch, {2 * 2 * 3 * _SIDE**2 / 1e6:.2f} MFLOP each"


def test_a_padded_model_scans_as_patch_by_patch(tmp_path: Path) -> None:
    path, model = tmp_path / "noise.png", padded_model()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)).save(path)
    results = [
        scan(path, model, tissue=False, any_stain=True, engine=engine, tile_size=tile)
        for engine, tile in (("patch", 64), ("dense", 64), ("dense", 32))
    ]
    for result in results[1:]:
        np.testing.assert_allclose(np.asarray(result.map), np.asarray(results[0].map), rtol=0, atol=1e-6)
    assert np.ptp(np.asarray(results[0].map)) > 0.01
    assert results[1].report["network"].startswith("by zones up to")
