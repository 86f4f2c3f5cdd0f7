"""ValidNet: a modern column that stays exactly dense: valid 3 x 3 convolutions, BatchNorm, ReLU, max-pooling.

No padding anywhere, so that a patch sees nothing that a slide would not show in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class ValidNetConfig:
    """Layer table of one column."""

    #: Maps of each stage: two 3 x 3 convolutions, then a 2 x 2 max-pooling.
    stages: Sequence[int] = (24, 32, 48)
    #: Maps of the head: two 3 x 3 convolutions and one that fills the rest of the patch.
    head: int = 64
    #: Side in pixels; (patch_size - what the stages use) must leave the head a square to fill.
    patch_size: int = 84
    channels: int = 3
    classes: int = 2
    dropout: float = 0.0


class ValidNet(nn.Module):
    """(N, C, P, P) -> logits (N, classes)."""

    def __init__(self, config: ValidNetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = config.channels, config.patch_size
        for maps in config.stages:
            layers += [*_unit(channels, maps), *_unit(maps, maps), nn.MaxPool2d(2)]
            channels, side = maps, (side - 4) // 2
        layers += [*_unit(channels, config.head), *_unit(config.head, config.head)]
        side -= 4
        layers += _unit(config.head, config.head, kernel=side)
        self.features = nn.Sequential(*layers)  # (N, head, 1, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout), nn.Conv2d(config.head, config.classes, 1), nn.Flatten()
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Logits of the classes for the centre of each patch."""
        logits: Tensor = self.classifier(self.features(patches))
        return logits


def _unit(channels: int, maps: int, *, kernel: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(channels, maps, kernel, bias=False), nn.BatchNorm2d(maps), nn.ReLU()]
