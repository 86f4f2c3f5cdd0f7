"""WSInfer's bundles: which files they are, and the card that their configuration amounts to."""

from __future__ import annotations

import json
from pathlib import Path

from models.card import ModelCard
from models.errors import CardError
from models.normalisation import Normalisation

#: Files of a WSInfer bundle.
BUNDLE_CONFIG, BUNDLE_SCRIPTS = "config.json", ("torchscript_model.pt", "model.pt")


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
        name=str(entry.get("name") or config.parent.name),
        version=str(entry.get("version", "0")),
        architecture="torchscript",
        arguments=arguments,
        patch_size=side,
        mpp=mpp,
        classes=classes,
        target=classes[-1],
        normalisation=Normalisation(mean=mean, std=std),
        stride=side,
        radius_um=side * mpp / 2,
        smoothing_um=0.0,
    )
