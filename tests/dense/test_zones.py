"""Laws of zones: a padded network says of every patch what it says of the patch cut out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scanner.dense import densify
from scanner.dense.zones import ZonedNet, zone, zoned_net
from scanner.errors import InexactLayerError
from tests.networks.padded import Gate, PaddedResidual, padded_classifiers, vgg_like
from tests.networks.plain import Classifier, randomise
from tests.networks.reference import patch_by_patch

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def image_for(net: nn.Module, rows: int, cols: int, *, count: int = 1) -> torch.Tensor:
    channels = next(m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d))
    return torch.randn((count, channels, rows, cols), generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@settings(max_examples=120, deadline=None)
@given(padded_classifiers(), st.integers(0, 9), st.integers(0, 9), st.integers(1, 6))
def test_zones_equal_patch_by_patch(classifier: Classifier, more_rows: int, more_cols: int, stride: int) -> None:
    side = classifier.patch_size
    image = image_for(classifier.net, side + more_rows, side + more_cols)
    with torch.no_grad():
        expected = patch_by_patch(classifier.net, image, side, stride)
        zoned = zone(classifier.net, side, stride)
        torch.testing.assert_close(zoned(image), expected, **EXACT)


def residual() -> nn.Module:
    stages = [PaddedResidual(4, 4, 1), PaddedResidual(4, 6, 2), PaddedResidual(6, 6, 1)]
    stem = [nn.Conv2d(3, 4, 5, 2, padding=2), nn.MaxPool2d(3, 2, padding=1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))


NETWORKS = {
    "vgg": lambda: (vgg_like((4, 6), 32), 32),
    "residual": lambda: (residual(), 64),
    "gated": lambda: (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Gate(4), nn.Flatten(), nn.Linear(1600, 2)), 20),
    "rectangular": lambda: (
        nn.Sequential(nn.Conv2d(3, 4, (5, 3), padding="same"), nn.Flatten(), nn.Linear(4 * 18 * 25, 2)),
        (18, 25),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_and_strides_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, patch_size = NETWORKS[name]()
    randomise(net, 3)
    rows, cols = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    image = image_for(net, rows + 9, cols + 6, count=2)
    with torch.no_grad():
        for stride in (1, 2, 3):
            expected = patch_by_patch(net, image, patch_size, stride)
            monkeypatch.setattr(zoned_net, "_BLOCK_VALUES", 16 << 20)
            zoned = zone(net, patch_size, stride)
            torch.testing.assert_close(zoned(image), expected, **EXACT)
            monkeypatch.setattr(zoned_net, "_BLOCK_VALUES", 9 * 4 * 25)
            small = zone(net, patch_size, stride)
            assert small.block < zoned.block
            torch.testing.assert_close(small(image), expected, **EXACT)


def test_what_a_layer_pads_with_is_heeded() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConstantPad2d(2, 7.0), nn.MaxPool2d(3, 1, padding=1), nn.Flatten())
    net = randomise(nn.Sequential(net, nn.Linear(2 * 100, 2)), 5)
    image = image_for(net, 15, 13) - 50  # Zeros from a pooling's padding would win over every value.
    with torch.no_grad():
        torch.testing.assert_close(zone(net, 8)(image), patch_by_patch(net, image, 8), **EXACT)


def test_the_estimate_counts_what_is_run() -> None:
    net = vgg_like((8, 16), 32)
    zoned = zone(net, 32, 4)
    assert isinstance(zoned, ZonedNet)
    first = 2 * 3 * 8 * 9 * 32**2 + 2 * 8 * 8 * 9 * 32**2
    second = 2 * 8 * 16 * 9 * 16**2 + 2 * 16 * 16 * 9 * 16**2
    linear = 2 * 16 * 8 * 8 * 32 + 2 * 32 * 2
    assert zoned.estimate.patch.flops == first + second + linear
    assert zoned.estimate.is_cheaper
    assert zoned.estimate.flop_ratio > 4


def test_far_apart_patches_are_cheaper_one_by_one() -> None:
    net = vgg_like((8,), 8, convolutions=3)
    assert not zone(net, 8, 32).estimate.is_cheaper


UNSHARED = [
    nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    nn.GroupNorm(1, 3),
    nn.AvgPool2d(3, 1, 1, count_include_pad=False),
]


@pytest.mark.parametrize("layer", UNSHARED)
def test_a_first_layer_that_no_zone_can_hold_is_refused(layer: nn.Module) -> None:
    net = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(2)).eval()
    net(torch.zeros(1, 3, 9, 9))
    with pytest.raises(InexactLayerError, match="'0'"):
        zone(net, 9)


def test_padding_is_still_refused_by_densify() -> None:
    with pytest.raises(InexactLayerError, match=r"'0'.*padding"):
        densify(vgg_like((4,), 12), 12)


def test_bfloat16_is_near() -> None:
    torch.manual_seed(1)
    stem = [nn.Conv2d(3, 32, 3, 2, padding=1), nn.Tanh(), nn.Conv2d(32, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1)]
    net = nn.Sequential(*stem, nn.Flatten(), nn.Linear(8, 2)).eval()
    image = torch.randn(1, 3, 72, 72)
    with torch.inference_mode():
        expected = patch_by_patch(net, image, 64, 4)
        found = zone(net, 64, 4).to(torch.bfloat16)(image.bfloat16()).float()
        torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
