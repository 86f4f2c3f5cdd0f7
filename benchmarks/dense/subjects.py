"""The networks that are measured: both of 2013, and the shipped model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import DEFAULT_MODEL, ModelError, load_model
from models.columns.dannet import DNN1, DNN2, DanNet
from models.columns.validnet import ValidNet, ValidNetConfig


@dataclass(frozen=True)
class Subject:
    """A patch classifier to measure."""

    name: str
    net: nn.Module
    patch_size: int

    def image(self, rows: int, cols: int | None = None) -> Tensor:
        """An image of which rows x cols patches can be scored, (1, 3, H, W) in [-1, 1]."""
        shape = (1, 3, rows + self.patch_size - 1, (cols or rows) + self.patch_size - 1)
        return torch.rand(shape, generator=torch.Generator().manual_seed(7)) * 2 - 1


def subjects(names: tuple[str, ...] = ()) -> Iterator[Subject]:
    """The networks of these names; all of them if none is named."""
    for subject in _all_subjects():
        if not names or subject.name in names:
            yield subject


def _all_subjects() -> Iterator[Subject]:
    for name, config in (("DNN1", DNN1), ("DNN2", DNN2)):
        torch.manual_seed(1)  # the same weights every time: errors depend on them, speed does not
        yield Subject(name, DanNet(config).eval(), config.patch_size)
    try:
        model = load_model(DEFAULT_MODEL)
    except ModelError:  # a checkout whose model is still being trained
        yield Subject("ValidNet", ValidNet(ValidNetConfig()).eval(), ValidNetConfig().patch_size)
    else:
        yield Subject(model.card.name, model.net, model.card.patch_size)
