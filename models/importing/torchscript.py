"""TorchScript: WSInfer's bundles and others. It is code; it is loaded only where the caller says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.card import ModelCard
from models.errors import CardError, ModelDamagedError
from models.normalisation import Normalisation

#: Files of a WSInfer bundle.
BUNDLE_CONFIG, BUNDLE_SCRIPTS = "config.json", ("torchscript_model.pt", "model.pt")


class Resized(nn.Module):
    """A network that looks at patches at another size than they are read in."""

    def __init__(self, net: nn.Module, side: int) -> None:
        super().__init__()
        self.net = net
        self.side = side

    def forward(self, patches: Tensor) -> Any:
        """As the bundle's own `Resize` does: bilinear, and smoothed where it shrinks."""
        size = (self.side, self.side)
        return self.net(nn.functional.interpolate(patches, size, mode="bilinear", antialias=True))


def load_script(path: Path) -> nn.Module:
    """The TorchScript module of a file: this runs code."""
    try:
        module: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelDamagedError(f"{path} is no TorchScript module: {str(error).splitlines()[0]}") from error
    return module.eval()


def find_bundle(folder: Path) -> tuple[Path, Path] | None:
    """Configuration and TorchScript file of a WSInfer bundle, if `folder` is one."""
    config = folder / BUNDLE_CONFIG
    scripts = [folder / name for name in BUNDLE_SCRIPTS if (folder / name).is_file()]
    return (config, scripts[0]) if config.is_file() and scripts else None


def read_bundle_card(config: Path) -> ModelCard:
    """The card that a bundle's configuration amounts to.

    Raises
    ------
    CardError
        A value is missing, or a transform is not known.
    """
    try:
        entry = json.loads(config.read_text(encoding="utf-8"))
        classes = tuple(str(name) for name in entry["class_names"])
        side, mpp = int(entry["patch_size_pixels"]), float(entry["spacing_um_px"])
        steps = [(step["name"], step.get("arguments") or {}) for step in entry["transform"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CardError(f"{config}: {error!r}") from error
    mean, std, arguments = (0.0,) * 3, (1.0,) * 3, {}
    for name, values in steps:
        if name == "Normalize":
            mean, std = tuple(values["mean"]), tuple(values["std"])
        elif name == "Resize":
            size = values["size"]
            arguments["resize"] = int(size if isinstance(size, (int, float)) else size[0])
        elif name != "ToTensor":
            raise CardError(f"{config}: transform {name!r} is not known; known: Resize, ToTensor, Normalize")
    return ModelCard(
        name=str(entry.get("name") or config.parent.name), version=str(entry.get("version", "0")),
        architecture="torchscript", arguments=arguments, patch_size=side, mpp=mpp, classes=classes, target=classes[-1],
        normalisation=Normalisation(mean=mean, std=std), stride=side, radius_um=side * mpp / 2, smoothing_um=0.0,
    )  # fmt: skip
