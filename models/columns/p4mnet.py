"""P4MNet: a ValidNet that says the same of a patch however it is turned or mirrored, by construction.

Group convolutions over the eight symmetries of a square, p4m (Cohen and Welling 2016, arXiv 1602.07576; on mitotic
figures Bekkers, Lafarge et al. 2018, arXiv 1804.03393). Each feature has eight maps, one for each symmetry, made by the
same kernel turned and mirrored; a turn of the patch turns the maps and permutes the eight; their mean at the end does
not change. So a network with the cost of a ValidNet has an eighth of its weights, and sees a figure in all eight ways
whenever it sees it.

That is a way of training. Written out, the network is an ordinary ValidNet, and runs as one (`P4MNet.written_out`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.columns.validnet import ValidNet, ValidNetConfig, plan_units
from models.errors import CardError
from models.symmetry import SYMMETRIES, all_views, turned

#: Maps of one feature.
ORDER = len(SYMMETRIES)


class P4MNet(nn.Module):
    """(N, C, P, P) -> logits (N, classes); its config is that of the ValidNet which it is written out as.

    Maps are counted as in that ValidNet, so they are multiples of eight: map `e * features + f` is feature f, seen by
    the symmetry e.

    Raises
    ------
    CardError
        Maps are no multiple of eight, or a pooling does not divide its maps evenly, so that a turned patch would be
        pooled in other windows.
    """

    def __init__(self, config: ValidNetConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for unit in plan_units(config):
            if unit.maps % ORDER:
                raise CardError(f"a p4mnet has maps in multiples of {ORDER}, not {unit.maps}")
            if (unit.side - unit.kernel) % unit.stride or (unit.is_pooled and unit.out_side % 2):
                raise CardError(f"patch_size {config.patch_size} is not halved evenly, so turned patches would differ")
            is_first = not layers
            features = unit.channels if is_first else unit.channels // ORDER
            make = Lifting if is_first else GroupConv
            layers += [make(features, unit.maps // ORDER, unit.kernel, unit.stride), TiedNorm(unit.maps // ORDER)]
            layers += [nn.ReLU(inplace=True), *([nn.MaxPool2d(2)] if unit.is_pooled else [])]
        self.features = nn.Sequential(*layers)  # (N, head, 1, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout), GroupMean(config.head // ORDER, config.classes), nn.Flatten()
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Logits of the classes for the centre of each patch."""
        logits: Tensor = self.classifier(self.features(patches))
        return logits

    @torch.no_grad()
    def written_out(self) -> ValidNet:
        """The same function as an ordinary network, in eval mode."""
        net = ValidNet(self.config)
        state = net.state_dict()
        for place, layer in self.named_modules():
            if isinstance(layer, Tied):
                state |= {f"{place}.{name}": values for name, values in layer.plain_state().items()}
        net.load_state_dict(state)
        return net.eval()

    @classmethod
    @torch.no_grad()
    def from_written_out(cls, net: nn.Module, arguments: dict[str, Any]) -> P4MNet:
        """The network that `net` is written out from, of a config with these arguments."""
        own, plain = cls(ValidNetConfig(**arguments)), net.state_dict()
        for place, layer in own.named_modules():
            if isinstance(layer, Tied):
                layer.take({name: plain[f"{place}.{name}"] for name in layer.plain_state()})
        return own.eval()


class Tied(nn.Module):
    """A layer whose weights stand for those of an ordinary layer, eight at a time."""

    def plain_state(self) -> dict[str, Tensor]:
        """The state of the ordinary layer."""
        raise NotImplementedError

    def take(self, state: dict[str, Tensor]) -> None:
        """Become the layer whose `plain_state` this is: the first of each eight."""
        for name, values in state.items():
            own = getattr(self, name)
            own.copy_(values[: len(own)])


class Lifting(Tied):
    """(N, C, H, W) -> (N, 8 * features, h, w): every kernel in all eight ways."""

    def __init__(self, channels: int, features: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = _made(torch.empty(features, channels, kernel, kernel), channels * kernel**2)

    def plain_state(self) -> dict[str, Tensor]:
        """Kernels (8 * features, C, kernel, kernel)."""
        return {"weight": _channels_last(torch.cat(all_views(self.weight)))}

    def forward(self, images: Tensor) -> Tensor:
        """Maps by symmetry, then feature."""
        return F.conv2d(images, self.plain_state()["weight"], stride=self.stride)


class GroupConv(Tied):
    """(N, 8 * channels, H, W) -> (N, 8 * features, h, w): turned input gives turned and permuted output."""

    def __init__(self, channels: int, features: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        # (features, 8 * channels, kernel, kernel), as seen by the first symmetry
        self.weight = _made(torch.empty(features, ORDER * channels, kernel, kernel), ORDER * channels * kernel**2)

    def plain_state(self) -> dict[str, Tensor]:
        """Kernels (8 * features, 8 * channels, kernel, kernel)."""
        by_symmetry = self.weight.view(len(self.weight), ORDER, -1, *self.weight.shape[2:])
        views = [
            turned(by_symmetry[:, _DIVIDED[index]], turns, is_mirrored=is_mirrored).flatten(1, 2)
            for index, (turns, is_mirrored) in enumerate(SYMMETRIES)
        ]
        return {"weight": _channels_last(torch.cat(views))}

    def forward(self, maps: Tensor) -> Tensor:
        """Maps by symmetry, then feature."""
        return F.conv2d(maps, self.plain_state()["weight"], stride=self.stride)


class TiedNorm(Tied):
    """BatchNorm with one scale and shift for the eight maps of a feature.

    In training each map is normalised by its own moments, which differ by chance alone, since crops are turned at
    random; in use all eight by what they have on average.
    """

    def __init__(self, features: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(ORDER * features))
        self.register_buffer("running_var", torch.ones(ORDER * features))

    def plain_state(self) -> dict[str, Tensor]:
        """Scale, shift, mean and variance of every map, (8 * features,) each."""
        # In double precision eight equal numbers have themselves for their mean.
        means, variances = (values.view(ORDER, -1).double() for values in (self.running_mean, self.running_var))
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        tied = {"weight": self.weight, "bias": self.bias, "running_mean": mean, "running_var": variance}
        return {name: values.to(self.weight.dtype).repeat(ORDER) for name, values in tied.items()}

    def forward(self, maps: Tensor) -> Tensor:
        """Normalised maps."""
        state = self.plain_state()
        mean, var = state["running_mean"], state["running_var"]
        if self.training:  # Each map's own moments, updated in place.
            mean, var = self.running_mean, self.running_var
        return F.batch_norm(maps, mean, var, state["weight"], state["bias"], self.training, self.momentum, self.eps)


class GroupMean(Tied):
    """(N, 8 * features, H, W) -> (N, classes, H, W): a linear function of each feature's mean over its eight maps."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = _made(torch.empty(classes, features), features)
        self.bias = nn.Parameter(torch.zeros(classes))

    def plain_state(self) -> dict[str, Tensor]:
        """Weights (classes, 8 * features, 1, 1) and bias (classes,)."""
        return {"weight": self.weight.repeat(1, ORDER)[..., None, None] / ORDER, "bias": self.bias}

    def take(self, state: dict[str, Tensor]) -> None:
        """As any layer, but that a feature's eight weights are in a row."""
        self.weight.copy_(state["weight"][:, : self.weight.shape[1], 0, 0] * ORDER)
        self.bias.copy_(state["bias"])

    def forward(self, maps: Tensor) -> Tensor:
        """Logits at every position."""
        state = self.plain_state()
        return F.conv2d(maps, state["weight"], state["bias"])


def _divided() -> Tensor:
    """Index of e^-1 h for all symmetries e and h: (8, 8), told from what they do to a square without symmetry."""
    square = torch.arange(9).view(3, 3)
    images = all_views(square)

    def product(first: int, second: int) -> int:
        turns, is_mirrored = SYMMETRIES[first]
        both = turned(images[second], turns, is_mirrored=is_mirrored)
        return next(index for index, image in enumerate(images) if torch.equal(image, both))

    table = [[product(first, second) for second in range(ORDER)] for first in range(ORDER)]
    return torch.tensor([[table[e].index(h) for h in range(ORDER)] for e in range(ORDER)])


_DIVIDED = _divided()


def _made(weight: Tensor, inputs: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(weight, std=(2 / inputs) ** 0.5))  # He et al. 2015, for ReLU.


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)
