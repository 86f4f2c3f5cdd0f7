"""Random patch classifiers, and one of each kind worth naming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (nn.Tanh, nn.ReLU, nn.Sigmoid, nn.LeakyReLU, nn.GELU, nn.SiLU)


@dataclass(frozen=True)
class Classifier:
    """A patch classifier in float64 and eval mode, with its patch size."""

    net: nn.Module
    patch_size: int


def draw_stages(
    draw: st.DrawFn,
    width: int,
    side: int,
    *,
    most: int,
    maps: st.SearchStrategy[int],
    activations: list[type[nn.Module]],
) -> tuple[list[list[nn.Module]], int, int]:
    """Convolutions, each with an activation and perhaps a pooling, as far as they fit; and the maps and side left."""
    stages: list[list[nn.Module]] = []
    for _ in range(draw(st.integers(1, most))):
        kernel, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        after = (side - (kernel - 1) * dilation - 1) // stride + 1
        if after < 1:
            break
        count, bias = draw(maps), draw(st.booleans())
        layers = [
            nn.Conv2d(width, count, kernel, stride, dilation=dilation, bias=bias),
            draw(st.sampled_from(activations))(),
        ]
        width, side = count, after
        window, step = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        if draw(st.booleans()) and side >= window:
            layers.append(nn.MaxPool2d(window, step))
            side = (side - window) // step + 1
        stages.append(layers)
    return stages, width, side


@st.composite
def chains(draw: st.DrawFn) -> Classifier:
    """Random chains of what the native form knows: any window, stride and dilation, any number of maps."""
    channels, patch_size = draw(st.integers(1, 4)), draw(st.integers(12, 30))
    activations = [nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Identity]
    stages, width, side = draw_stages(
        draw, channels, patch_size, most=4, maps=st.integers(1, 19), activations=activations
    )
    layers = [layer for stage in stages for layer in stage]
    hidden = draw(st.integers(1, 17))
    layers += [nn.Flatten(), nn.Linear(width * side * side, hidden), nn.Tanh(), nn.Dropout(0.5), nn.Linear(hidden, 2)]
    net = randomise(nn.Sequential(*layers), draw(st.integers(0, 2**16)))
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):  # outputs of order 1, as in trained nets
            module.weight.data /= module.weight[0].numel() ** 0.5
    return Classifier(net, patch_size)


class CropResidual(nn.Module):
    """x cropped + f(x), f a valid convolution: a residual unit without padding."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel)
        self.before, self.after = (kernel - 1) // 2, kernel - 1 - (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        crop = x[:, :, self.before : height - self.after, self.before : width - self.after]
        return torch.relu(self.conv(x)) + crop


class CropConcat(nn.Module):
    """Two branches of different reach, the wider output cropped, side by side in the channels."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, kernel)
        self.narrow = nn.Conv2d(channels, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.wide(x)
        narrow = self.narrow(x)[..., : wide.shape[2], : wide.shape[3]]
        return torch.cat([wide, narrow], dim=1)


class Highway(nn.Module):
    """gate * f(x) + (1 - gate) * x cropped."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(channels, channels, kernel)
        self.gate = nn.Conv2d(channels, channels, kernel)
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        out, gate = torch.tanh(self.transform(x)), torch.sigmoid(self.gate(x))
        return gate * out + (1 - gate) * x[:, :, : out.shape[2], : out.shape[3]]


class MultiScale(nn.Module):
    """Global averages taken before and after a pooling meet in one head."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.head = nn.Linear(channels + 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.conv(torch.nn.functional.max_pool2d(x, 2))
        return self.head(torch.cat([x.mean((2, 3)), deep.amax(dim=(2, 3))], dim=1))


def randomise(net: nn.Module, seed: int) -> nn.Module:
    """`net` with random weights and running statistics, in float64 and eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features, generator=generator, dtype=torch.float64)
            module.running_var = torch.rand(module.num_features, generator=generator, dtype=torch.float64) + 0.5
    return net.double().eval()


@st.composite
def classifiers(draw: st.DrawFn) -> Classifier:
    """Random classifiers: sequences and branches, any stride and dilation, overlapping and remainder-dropping pools."""
    channels = draw(st.integers(1, 3))
    patch_size = draw(st.integers(9, 26))
    layers: list[nn.Module] = []
    width = channels
    for _ in range(draw(st.integers(1, 5))):
        layer, grown = draw(_layer(width))
        if _extent([*layers, layer], channels, patch_size) is None:
            continue
        layers.append(layer)
        width = grown
    rows, cols = _extent(layers, channels, patch_size) or (1, 1)
    layers += draw(_head(width, rows, cols))
    return Classifier(randomise(nn.Sequential(*layers), draw(st.integers(0, 2**16))), patch_size)


@st.composite
def _layer(draw: st.DrawFn, width: int) -> tuple[nn.Module, int]:
    """One layer on `width` channels, and the channels after it."""
    kernel = st.integers(1, 4)
    kinds = ["conv", "conv", "max", "avg", "norm", "activation", "residual", "concat", "highway", "dropout"]
    kind = draw(st.sampled_from(kinds))
    if kind == "conv":
        groups = draw(st.sampled_from([g for g in (1, 2, 3) if width % g == 0]))
        maps = groups * draw(st.integers(1, 3))
        sizes = (draw(kernel), draw(kernel))
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        return nn.Conv2d(width, maps, sizes, stride, dilation=dilation, groups=groups, bias=draw(st.booleans())), maps
    if kind == "max":
        return nn.MaxPool2d(
            (draw(kernel), draw(kernel)), draw(st.integers(1, 3)), dilation=draw(st.integers(1, 2))
        ), width
    if kind == "avg":
        return nn.AvgPool2d(draw(kernel), draw(st.integers(1, 3))), width
    simple: dict[str, Callable[[], tuple[nn.Module, int]]] = {
        "norm": lambda: (nn.BatchNorm2d(width), width),
        "activation": lambda: (draw(st.sampled_from(ACTIVATIONS))(), width),
        "residual": lambda: (CropResidual(width, draw(kernel)), width),
        "concat": lambda: (CropConcat(width, draw(kernel)), width + 2),
        "highway": lambda: (Highway(width, draw(kernel)), width),
        "dropout": lambda: (nn.Dropout(0.5), width),
    }
    return simple[kind]()


@st.composite
def _head(draw: st.DrawFn, width: int, rows: int, cols: int) -> list[nn.Module]:
    kind = draw(st.sampled_from(["linear", "two linears", "global average", "convolution", "softmax"]))
    flat = width * rows * cols
    heads: dict[str, list[nn.Module]] = {
        "linear": [nn.Flatten(), nn.Linear(flat, 2)],
        "two linears": [nn.Flatten(), nn.Linear(flat, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)],
        "global average": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)],
        "convolution": [nn.Conv2d(width, 4, (rows, cols)), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten()],
        "softmax": [nn.Flatten(), nn.Linear(flat, 3), nn.Softmax(dim=1)],
    }
    return heads[kind]


def _extent(layers: list[nn.Module], channels: int, patch_size: int) -> tuple[int, int] | None:
    """Rows and columns that a patch has after `layers`, or None if it is too small for them."""
    try:
        with torch.no_grad():
            net = nn.Sequential(*layers).eval()
            shape = net(torch.zeros(1, channels, patch_size, patch_size, dtype=next_dtype(net))).shape
    except RuntimeError:
        return None
    return (shape[2], shape[3]) if min(shape[2:]) > 0 else None


def next_dtype(net: nn.Module) -> torch.dtype:
    """The type of the network's parameters."""
    return next((p.dtype for p in net.parameters()), torch.float32)
