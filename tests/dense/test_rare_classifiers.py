"""Classifiers that say how many channels they read in no convolution: dense as any other, patch by patch exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scanner.dense import densify
from scanner.dense.network.probe import image_channels
from scanner.errors import InexactLayerError
from tests.networks.plain import Classifier, randomise
from tests.networks.reference import patch_by_patch

#: Rounding of float64 sums in another order.
CLOSE = 1e-12


@st.composite
def pooled_classifiers(draw: st.DrawFn) -> tuple[Classifier, int]:
    """Poolings, and what keeps channels as they are, down to a linear layer; and the channels of the image."""
    channels, side = draw(st.integers(1, 20)), draw(st.integers(6, 20))
    patch_size, layers = side, []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["max", "average", "norm", "prelu", "tanh", "depthwise"]))
        kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        if kind in {"max", "average", "depthwise"} and side < kernel:
            continue
        make: dict[str, Callable[[], nn.Module]] = {
            "max": lambda kernel=kernel, stride=stride: nn.MaxPool2d(kernel, stride),
            "average": lambda kernel=kernel, stride=stride: nn.AvgPool2d(kernel, stride),
            "norm": lambda: nn.BatchNorm2d(channels),
            "prelu": lambda: nn.PReLU(channels),
            "tanh": nn.Tanh,
            "depthwise": lambda kernel=kernel, stride=stride: nn.Conv2d(
                channels, channels, kernel, stride, groups=channels
            ),
        }
        layers.append(make[kind]())
        if kind in {"max", "average", "depthwise"}:
            side = (side - kernel) // stride + 1
    if draw(st.booleans()):
        layers.append(nn.AdaptiveAvgPool2d(1))
        side = 1
    layers += [nn.Flatten(), nn.Linear(channels * side**2, 3)]
    return Classifier(randomise(nn.Sequential(*layers), draw(st.integers(0, 2**16))), patch_size), channels


@settings(max_examples=100, deadline=None)
@given(pooled_classifiers(), st.integers(0, 6), st.integers(1, 4))
def test_classifiers_that_pool_before_their_first_weights_are_dense(
    drawn: tuple[Classifier, int], more: int, stride: int
) -> None:
    classifier, channels = drawn
    net, side = classifier.net, classifier.patch_size
    assert image_channels(net, (side, side)) == channels
    generator = torch.Generator().manual_seed(3)
    images = torch.randn((2, channels, side + more, side + 1), generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        found, expected = densify(net, side, stride)(images), patch_by_patch(net, images, side, stride)
    torch.testing.assert_close(found, expected, rtol=CLOSE, atol=CLOSE)


class Functional(nn.Module):
    """A linear layer without a module of its own, on patches that are reshaped to its size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, channels * 9))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.avg_pool2d(x, 4).reshape(-1, self.weight.shape[1]), self.weight)


class LateFirst(nn.Module):
    """Convolutions that are made in another order than they are called in."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6 * 16, 2)
        self.deep = nn.Conv2d(4, 6, 3)
        self.first = nn.Conv2d(5, 4, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.deep(torch.relu(self.first(x)))).flatten(1))


class Means(nn.Module):
    """Means of the whole patch, and of its maxima, by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(11, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(x, 3).mean((2, 3)))


@pytest.mark.parametrize(
    ("net", "channels"), [(Functional(1), 1), (Functional(2), 2), (Functional(7), 7), (LateFirst(), 5), (Means(), 11)]
)
def test_channels_are_found_wherever_they_are_said(net: nn.Module, channels: int) -> None:
    randomise(net, 5)
    assert image_channels(net, (12, 12)) == channels


@pytest.mark.parametrize(("net", "channels"), [(LateFirst(), 5), (Means(), 11)])
def test_networks_whose_channels_had_to_be_looked_for_are_dense(net: nn.Module, channels: int) -> None:
    randomise(net, 5)
    images = torch.randn((1, channels, 15, 17), dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(densify(net, 12)(images), patch_by_patch(net, images, 12), rtol=CLOSE, atol=CLOSE)


def test_a_network_that_fails_whatever_its_channels_is_refused_by_the_layer_that_fails() -> None:
    net = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(7, 3), nn.Linear(4, 2)).eval()
    with pytest.raises(InexactLayerError, match=r"'2'.*fails on a patch of this size"):
        densify(net, 8)
