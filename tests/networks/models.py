"""Networks written to files, as other programs write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.card import ModelCard, write_card
from tests.networks.plain import CropConcat, CropResidual, Highway, randomise

PATCH = 20


def everything(patch_size: int = PATCH) -> nn.Module:
    """A classifier of many layer kinds, all exact: strided, dilated, grouped, residual, highway, concatenated."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 4, (3, 2), bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        CropResidual(4, 3),
        nn.MaxPool2d(2),
        Highway(4, 2),
        CropConcat(4, 2),
        nn.Conv2d(6, 6, 2, dilation=2, groups=2),
        nn.LeakyReLU(0.2),
    ]
    net = nn.Sequential(*layers).eval()
    flat = net(torch.zeros(1, 3, patch_size, patch_size)).numel()
    return randomise(nn.Sequential(*layers, nn.Flatten(), nn.Dropout(), nn.Linear(flat, 2)), 4).float().eval()


def padded(patch_size: int = PATCH) -> nn.Module:
    """A classifier that pads."""
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.AdaptiveAvgPool2d(1)]
    return randomise(nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2)), 5).float().eval()


def card_for(architecture: str, *, patch_size: int = PATCH, **changes: Any) -> ModelCard:
    """A card for any of these."""
    fields: dict[str, Any] = {
        "name": "imported",
        "version": "1",
        "architecture": architecture,
        "arguments": {},
        "patch_size": patch_size,
        "mpp": 0.5,
        "stride": 2,
        "radius_um": 3.0,
        "smoothing_um": 1.0,
        "margin_um": 1.0,
    }
    return ModelCard(**(fields | changes))


def write_onnx(path: Path, net: nn.Module, *, patch_size: int = PATCH) -> Path:
    """As torch's exporter writes it, for any number of patches."""
    import onnx  # noqa: F401 - the exporter needs it

    example = torch.zeros(2, 3, patch_size, patch_size)
    axes = {"image": {0: "patches"}}
    torch.onnx.export(
        net, (example,), str(path), input_names=["image"], dynamic_axes=axes, dynamo=False, opset_version=17
    )
    return path


def write_exported(path: Path, net: nn.Module, *, patch_size: int = PATCH, any_batch: bool = True) -> Path:
    """As torch.export.save writes it."""
    example = torch.zeros(2, 3, patch_size, patch_size)
    shapes = ({0: torch.export.Dim("patches")},) if any_batch else None
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes=shapes), path)
    return path


def write_bundle(folder: Path, net: nn.Module, *, patch_size: int = PATCH, resize: int | None = None) -> Path:
    """A WSInfer bundle: TorchScript and its configuration."""
    folder.mkdir(parents=True)
    side = resize or patch_size
    torch.jit.trace(net, torch.zeros(1, 3, side, side)).save(str(folder / "torchscript_model.pt"))
    transform = [{"name": "ToTensor"}, {"name": "Normalize", "arguments": {"mean": [0.5] * 3, "std": [0.25] * 3}}]
    if resize:
        transform.insert(0, {"name": "Resize", "arguments": {"size": resize}})
    config = {
        "spec_version": "1.0",
        "architecture": "small",
        "num_classes": 2,
        "class_names": ["notumor", "tumor"],
        "name": "bundle",
        "patch_size_pixels": patch_size,
        "spacing_um_px": 0.5,
        "transform": transform,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def put_card(path: Path, card: ModelCard) -> Path:
    """The card beside a network file."""
    folder = path.parent
    write_card(folder, card)
    (folder / "card.toml").rename(path.with_suffix(".toml"))
    return path


def patches_of(count: int, *, patch_size: int = PATCH) -> Tensor:
    """Noise, normalised."""
    return torch.from_numpy(np.random.default_rng(2).normal(size=(count, 3, patch_size, patch_size)).astype(np.float32))
