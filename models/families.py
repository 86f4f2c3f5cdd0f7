"""Network families: what a card's `architecture` may name, beside the kinds of files in `models.sources`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from models.columns.dannet import DanNet, DanNetConfig
from models.columns.p4mnet import P4MNet
from models.columns.validnet import ValidNet, ValidNetConfig
from models.committee import Committee, View
from models.errors import CardError
from models.importing.libraries import build_timm, build_torchvision
from models.layers import build_layers


def _build_committee(*, columns: list[dict[str, Any]]) -> nn.Module:
    nets = [build_network(column["architecture"], column["arguments"]) for column in columns]
    return Committee(nets, [_view(column) for column in columns])


def _view(column: dict[str, Any]) -> View | int:
    """How a column looks at the patch: as its entry says, or as it is."""
    if "view" not in column:
        return int(column["arguments"]["patch_size"])
    entry = column["view"]
    gain, offset = (tuple(float(value) for value in entry.get(key, ())) for key in ("gain", "offset"))
    return View(int(entry["patch_size"]), int(entry.get("scale", 1)), gain, offset)


FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "dannet": lambda **arguments: DanNet(DanNetConfig(**arguments)),
    "p4mnet": lambda **arguments: P4MNet(ValidNetConfig(**arguments)),
    "validnet": lambda **arguments: ValidNet(ValidNetConfig(**arguments)),
    "committee": _build_committee,
    "layers": build_layers,
    "timm": build_timm,
    "torchvision": build_torchvision,
}


def build_network(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    """An untrained network of a registered family."""
    if architecture not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise CardError(f"architecture {architecture!r} is not registered; known: {known}")
    try:
        return FAMILIES[architecture](**arguments)
    except (TypeError, KeyError) as error:
        raise CardError(f"arguments of architecture {architecture!r}: {error}") from error
