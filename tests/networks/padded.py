"""Random padded classifiers, which no dense net can be, and two of each kind worth naming."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.networks.plain import Classifier, randomise


class PaddedResidual(nn.Module):
    """relu(f(x)) + shortcut(x), as in a ResNet: 3 x 3 with padding, 1 x 1 beside it where the stride is not 1."""

    def __init__(self, channels: int, maps: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, maps, 3, stride, padding=1)
        self.second = nn.Conv2d(maps, maps, 3, padding=1)
        is_same = stride == 1 and channels == maps
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(channels, maps, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class Gate(nn.Module):
    """Squeeze and excite: what the whole patch says scales every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x.mean((2, 3), keepdim=True)))


def vgg_like(widths: tuple[int, ...], patch_size: int, *, convolutions: int = 2, hidden: int = 32) -> nn.Module:
    """3 x 3 convolutions that keep the size, 2 x 2 poolings, two linear layers."""
    layers: list[nn.Module] = []
    channels, side = 3, patch_size
    for width in widths:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers += [nn.MaxPool2d(2)]
        side //= 2
    flat = channels * side * side
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, 2)).eval()


@st.composite
def padded_classifiers(draw: st.DrawFn) -> Classifier:
    """Random classifiers that pad by any amount, in any layer that can, with a head over the whole patch."""
    channels = width = draw(st.integers(1, 3))
    patch_size = draw(st.integers(14, 30))
    # The first layer pads nothing it could not share: else there is nothing to run by zones.
    layers: list[nn.Module] = [nn.Conv2d(channels, 4, draw(st.integers(1, 3)), padding=draw(st.integers(0, 1)))]
    width = 4
    for _ in range(draw(st.integers(0, 4))):
        layer, grown = draw(_padded_layer(width))
        if _side([*layers, layer], channels, patch_size) < 2:
            continue
        layers.append(layer)
        width = grown
    heads: dict[str, Callable[[], list[nn.Module]]] = {
        "linear": lambda: [nn.Flatten(), nn.LazyLinear(3)],
        "global": lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)],
        "gate": lambda: [Gate(width), nn.AdaptiveMaxPool2d(1), nn.Flatten()],
    }
    net = nn.Sequential(*layers, *heads[draw(st.sampled_from(sorted(heads)))]())
    net.eval()(torch.zeros(1, channels, patch_size, patch_size))
    return Classifier(randomise(net, draw(st.integers(0, 2**16))), patch_size)


@st.composite
def _padded_layer(draw: st.DrawFn, width: int) -> tuple[nn.Module, int]:
    kernel, small = st.integers(1, 4), st.integers(1, 2)
    kind = draw(st.sampled_from(["conv", "same", "max", "avg", "pad", "residual", "norm", "activation", "crop"]))
    if kind == "conv":
        maps, sizes = draw(st.integers(1, 4)), (draw(kernel), draw(kernel))
        padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
        return nn.Conv2d(width, maps, sizes, draw(small), padding, draw(small)), maps
    if kind == "same":
        return nn.Conv2d(width, width, draw(kernel), padding="same"), width
    if kind == "max":
        size = draw(st.integers(2, 4))
        padding, ceil = draw(st.integers(0, size // 2)), draw(st.booleans())
        return nn.MaxPool2d(size, draw(st.integers(1, 3)), padding, ceil_mode=ceil), width
    if kind == "avg":
        return nn.AvgPool2d(3, draw(small), padding=draw(st.integers(0, 1))), width
    simple: dict[str, Callable[[], tuple[nn.Module, int]]] = {
        "pad": lambda: (nn.ConstantPad2d((1, 0, 2, 1), 0.5), width),
        "residual": lambda: (PaddedResidual(width, 5, draw(small)), 5),
        "norm": lambda: (nn.BatchNorm2d(width), width),
        "activation": lambda: (nn.Tanh(), width),
        "crop": lambda: (nn.ZeroPad2d((-1, 0, 0, -1)), width),
    }
    return simple[kind]()


def _side(layers: list[nn.Module], channels: int, patch_size: int) -> int:
    """Smaller side of what is left of a patch."""
    try:
        with torch.no_grad():
            shape = nn.Sequential(*layers).eval()(torch.zeros(1, channels, patch_size, patch_size)).shape
    except RuntimeError:
        return 0
    return min(shape[2:])
