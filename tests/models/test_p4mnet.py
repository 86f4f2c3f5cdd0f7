"""A network of group convolutions does not tell the eight symmetries apart, and is a ValidNet when written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models import Model, ModelCard, load_model, save_model
from models.columns.p4mnet import ORDER, GroupConv, Lifting, P4MNet, TiedNorm
from models.columns.validnet import ValidNet, ValidNetConfig
from models.errors import CardError
from models.symmetry import SYMMETRIES, turned
from scanner.dense import densify
from scanner.training.loss import apply_convolutionally

CONFIG = ValidNetConfig(stem=8, stem_kernel=5, stages=(8, 16), head=32, patch_size=83)


def trained_net(seed: int, config: ValidNetConfig = CONFIG) -> P4MNet:
    """In eval mode, after a few batches that moved its normalisation, in float64."""
    torch.manual_seed(seed)
    net = P4MNet(config).double().train()
    for norm in net.modules():
        if isinstance(norm, TiedNorm):
            norm.momentum = 0.5
            torch.nn.init.uniform_(norm.bias)  # Else few maps of an untrained network are above 0.
    for _ in range(3):
        net(torch.randn(4, 3, 83, 83, dtype=torch.float64))
    return net.eval()


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_patch_has_the_same_logits(seed):
    net = trained_net(seed)
    patches = torch.randn(2, 3, 83, 83, dtype=torch.float64)
    logits = net(patches)
    assert logits.std() > 1e-3  # It says something.
    for turns, is_mirrored in SYMMETRIES:
        same = net(turned(patches, turns, is_mirrored=is_mirrored))
        torch.testing.assert_close(same, logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_image_has_the_turned_map(seed):
    net = trained_net(seed)
    dense = densify(net.written_out().double(), patch_size=83, stride=8)
    image = torch.randn(1, 3, 83 + 3 * 8, 83 + 2 * 8, dtype=torch.float64)
    maps = dense(image)
    for turns, is_mirrored in SYMMETRIES:
        same = dense(turned(image, turns, is_mirrored=is_mirrored))
        torch.testing.assert_close(same, turned(maps, turns, is_mirrored=is_mirrored), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_written_out_it_is_the_same_function(seed):
    net = trained_net(seed)
    images = torch.randn(1, 3, 91, 99, dtype=torch.float64)
    written = apply_convolutionally(net.written_out().double(), images)
    # Weights are written out in float32.
    torch.testing.assert_close(written, apply_convolutionally(net, images), rtol=0, atol=1e-5)


def test_layers_turn_and_permute_their_maps():
    torch.manual_seed(0)
    lifting, group = Lifting(3, 2, 3, 1).double(), GroupConv(2, 2, 3, 1).double()
    image = torch.randn(1, 3, 9, 9, dtype=torch.float64)
    maps = group(lifting(image)).unflatten(1, (ORDER, 2))
    for turns, is_mirrored in SYMMETRIES:
        others = group(lifting(turned(image, turns, is_mirrored=is_mirrored))).unflatten(1, (ORDER, 2))
        expected = turned(maps, turns, is_mirrored=is_mirrored)
        # Each map is one of the turned ones: which, the group's table says.
        apart = (others[:, :, None] - expected[:, None]).abs().amax(dim=(0, 3, 4, 5))
        assert (apart < 1e-12).sum(dim=0).tolist() == [1] * ORDER
        assert (apart < 1e-12).sum(dim=1).tolist() == [1] * ORDER


def test_the_moments_of_a_feature_are_those_of_its_eight_maps_together():
    norm = TiedNorm(2, momentum=1.0).double().train()
    maps = torch.randn(4, ORDER * 2, 5, 5, dtype=torch.float64) + torch.arange(ORDER * 2)[:, None, None]
    norm(maps)
    state = norm.plain_state()
    mean, var = state["running_mean"], state["running_var"]
    by_feature = maps.unflatten(1, (ORDER, 2)).transpose(1, 2)
    torch.testing.assert_close(mean[:2], by_feature.mean(dim=(0, 2, 3, 4)))
    torch.testing.assert_close(var[:2], by_feature.var(dim=(0, 2, 3, 4), correction=0), rtol=0.02, atol=0)


def test_it_has_an_eighth_of_the_weights():
    net = P4MNet(CONFIG)
    kernels = [sum(p.numel() for p in one.features.parameters() if p.ndim == 4) for one in (net, net.written_out())]
    assert kernels[0] * ORDER == kernels[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": 12}, "multiples of 8"),
        ({"patch_size": 86, "stem_kernel": 4}, "evenly"),
        ({"patch_size": 84}, "evenly"),
    ],
)
def test_what_cannot_be_symmetric_is_refused(changes, message):
    config = replace(CONFIG, **changes)
    with pytest.raises(CardError, match=message):
        P4MNet(config)


def test_it_is_saved_small_and_read_written_out(tmp_path):
    net = trained_net(0).float()
    arguments = {"stem": 8, "stem_kernel": 5, "stages": [8, 16], "head": 32, "patch_size": 83}
    card = ModelCard("small", "1", "p4mnet", arguments, patch_size=83, mpp=0.25)
    written = net.written_out()
    saved = save_model(tmp_path, Model(card, written))
    for _ in range(2):  # And saved again.
        loaded = load_model(tmp_path)
        assert isinstance(loaded.net, ValidNet)
        for name, values in written.state_dict().items():
            torch.testing.assert_close(loaded.net.state_dict()[name], values, rtol=0, atol=0)
        assert loaded.card.sha256 == saved.card.sha256
        save_model(tmp_path, loaded)
    stored = sum(p.numel() for p in net.parameters()) * 4
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * stored
