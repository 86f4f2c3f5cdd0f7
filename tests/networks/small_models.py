"""Models small enough for tests: one that finds planted dots, one with random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models import Model, ModelCard
from models.columns.dannet import DanNet, DanNetConfig
from models.normalisation import Normalisation, NormalisationKind

#: Radius, in pixels, of the dark dots that `dot_model` looks for.
DOT_RADIUS = 4


def dot_model(*, stride: int = 1, patch_size: int = 15) -> Model:
    """Fires where a dark dot of DOT_RADIUS lies in the middle of its patch: a matched filter, then max-pooling."""
    side = patch_size - 1
    offsets = torch.arange(side) - (side - 1) / 2
    distance = torch.hypot(offsets[:, None], offsets[None, :])
    inside = (distance <= DOT_RADIUS).float()
    template = inside / inside.sum() - (1 - inside) / (1 - inside).sum()
    filters = nn.Conv2d(3, 1, side)
    filters.weight.data = -template.expand(1, 3, side, side).clone() / 3
    filters.bias.data = torch.zeros(1)
    head = nn.Linear(1, 2)
    head.weight.data = torch.tensor([[0.0], [12.0]])
    head.bias.data = torch.tensor([0.0, -7.0])
    net = nn.Sequential(filters, nn.MaxPool2d(2), nn.Flatten(), head).eval()
    card = ModelCard(
        name="dots",
        version="1",
        architecture="none",
        arguments={},
        patch_size=patch_size,
        mpp=0.25,
        stride=stride,
        threshold=0.3,
        radius_um=2.0,
        smoothing_um=0.5,
        margin_um=1.0,
    )
    return Model(card, net)


def random_model(
    *,
    patch_size: int = 21,
    stride: int = 2,
    seed: int = 0,
    stain: bool = False,
    channels: int = 3,
    arguments: dict[str, int] | None = None,
) -> Model:
    """A DanNet with random weights, loud enough that its map is full of peaks; `arguments` are further ones of it."""
    torch.manual_seed(seed)
    arguments = {"stages": [[6, 4], [8, 3]], "patch_size": patch_size, "hidden": 10, **(arguments or {})}
    arguments |= {} if channels == 3 else {"channels": channels}
    net = DanNet(DanNetConfig(**arguments)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 2.5
    card = ModelCard(
        name="random",
        version="1",
        architecture="dannet",
        arguments=arguments,
        patch_size=patch_size,
        mpp=0.25,
        stride=stride,
        threshold=0.5,
        radius_um=3.0,
        smoothing_um=1.0,
        margin_um=1.0,
        normalisation=Normalisation(mean=(0.5,) * channels, std=(0.5,) * channels),
    )
    if stain:
        card = replace(card, normalisation=Normalisation(NormalisationKind.STAIN, (0.2, 0.4, 0.2), (0.1, 0.2, 0.1)))
    return Model(card, net)


def planted(height: int, width: int, places: list[tuple[int, int]]) -> npt.NDArray[np.uint8]:
    """Pink tissue with dark dots centred on `places` (row, col)."""
    pixels = np.full((height, width, 3), (225, 170, 205), np.uint8)
    rows, cols = np.ogrid[:height, :width]
    for row, col in places:
        pixels[(rows - row) ** 2 + (cols - col) ** 2 <= DOT_RADIUS**2] = (60, 20, 90)
    return pixels
