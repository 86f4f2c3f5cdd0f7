"""The DanNet family: columns of convolution, max-pooling and tanh (Ciresan et al. 2011 to 2013).

`DNN1` and `DNN2` are the two networks of Ciresan, Giusti, Gambardella, Schmidhuber: Mitosis Detection in Breast
Cancer Histology Images with Deep Neural Networks, MICCAI 2013, which won the ICPR 2012 contest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from models.errors import CardError


@dataclass(frozen=True)
class DanNetConfig:
    """Layer table of one column."""

    #: One (maps, kernel) pair per convolution; each is followed by a 2 x 2 max-pooling.
    stages: Sequence[Sequence[int]]
    patch_size: int = 101
    channels: int = 3
    hidden: int = 100
    classes: int = 2


DNN1 = DanNetConfig(stages=((16, 2), (16, 3), (16, 3), (16, 2), (16, 2)))
DNN2 = DanNetConfig(stages=((16, 4), (16, 4), (16, 4), (16, 3)))


class DanNet(nn.Module):
    """A max-pooling CNN: (N, C, P, P) -> logits (N, classes)."""

    def __init__(self, config: DanNetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = config.channels, config.patch_size
        for maps, kernel in config.stages:
            layers += [nn.Conv2d(channels, maps, kernel), nn.Tanh(), nn.MaxPool2d(2)]
            channels, side = maps, (side - kernel + 1) // 2
        if side < 1:
            raise CardError(f"patch_size {config.patch_size} is too small for {len(config.stages)} stages")
        self.features = nn.Sequential(*layers)  # (N, maps, side, side)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, config.hidden),
            nn.Tanh(),
            nn.Linear(config.hidden, config.classes),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Logits of the classes for the centre of each patch."""
        logits: Tensor = self.classifier(self.features(patches))
        return logits
