from __future__ import annotations

import copy

import pytest
import torch

from models.columns.dannet import DNN1, DNN2, DanNet
from models.columns.validnet import ValidNet, ValidNetConfig
from scanner.training.loss import apply_convolutionally, dense_loss
from tests.networks.reference import patch_loss

# Sums of a few thousand products in float64, in another order.
TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}

SMALL_VALID = ValidNetConfig(stem=4, stages=(4, 6), head=8, patch_size=70)
NETWORKS = [
    pytest.param(lambda: DanNet(DNN1), 101, 32, id="DNN1"),
    pytest.param(lambda: DanNet(DNN2), 101, 16, id="DNN2"),
    pytest.param(lambda: ValidNet(SMALL_VALID), 70, 8, id="ValidNet"),
]


def make_case(make_net, patch_size, stride):
    torch.manual_seed(0)
    net = make_net().double().eval()
    side = patch_size + stride
    images = torch.randn(3, 3, side, side, dtype=torch.float64)
    targets = torch.tensor([[[1, 0], [-1, 0]], [[0, -1], [-1, -1]], [[1, 1], [0, 0]]])
    return net, images, targets


@pytest.mark.parametrize(("make_net", "patch_size", "stride"), NETWORKS)
def test_dense_training_has_the_loss_and_gradient_of_patch_training(make_net, patch_size, stride):
    net, images, targets = make_case(make_net, patch_size, stride)
    other = copy.deepcopy(net)
    dense = dense_loss(net, images, targets)
    patches = patch_loss(other, images, targets, patch_size=patch_size, stride=stride)
    torch.testing.assert_close(dense, patches, **TOLERANCE)
    dense.backward()
    patches.backward()
    for (name, one), (_, two) in zip(net.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=lambda text, name=name: f"{name}: {text}", **TOLERANCE)


@pytest.mark.parametrize(("make_net", "patch_size", "stride"), NETWORKS)
def test_outputs_are_those_of_the_patches(make_net, patch_size, stride):
    net, images, _ = make_case(make_net, patch_size, stride)
    maps = apply_convolutionally(net, images)
    for row in range(2):
        for col in range(2):
            top, left = row * stride, col * stride
            patch = images[:, :, top : top + patch_size, left : left + patch_size]
            torch.testing.assert_close(maps[:, :, row, col], net(patch), **TOLERANCE)


def test_ignored_outputs_have_no_gradient():
    net, images, _ = make_case(lambda: DanNet(DNN2), 101, 16)
    images.requires_grad_(True)
    targets = torch.full((3, 2, 2), -1)
    targets[0, 0, 0] = 1
    dense_loss(net, images, targets).backward()
    assert images.grad is not None
    assert images.grad[0, :, :101, :101].abs().sum() > 0
    assert images.grad[1:].abs().sum() == 0
    assert images.grad[0, :, 101:].abs().sum() == 0
