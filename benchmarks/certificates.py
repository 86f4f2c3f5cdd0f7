"""Certificates of one model of each kind, as a table: `python -m benchmarks.certificates [--write]`.

What `mitoscan certify` compares, at two strides. Networks that are not shipped have random weights, as large as trained
ones'. Those of timm need the extra `timm`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from models import Model, ModelCard, load_model, save_model
from models.card import write_card
from models.columns.dannet import DNN1, DNN2, DanNet
from models.importing.libraries import build_timm
from models.joining import join_models
from models.normalisation import Normalisation
from scanner.dense.certify import Effort, certify, describe_certificate, full_effort
from tests.networks.models import write_onnx
from tests.networks.padded import vgg_like
from tests.networks.plain import CropConcat, CropResidual, Highway

RESULTS = Path(__file__).parent / "results"
_STRIDES, _POSITIONS = (1, 4), 4
PRECISIONS = ("float64", "float32", "bfloat16")


def _card(name: str, architecture: str, patch_size: int) -> ModelCard:
    return ModelCard(name, "1", architecture, {}, patch_size, 0.25)


def _loud(net: nn.Module) -> nn.Module:
    """`net` with weights that keep the spread of what goes through, so that every pixel counts."""
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
    return net.eval()


def _valid(unit: nn.Module, side: int, channels: int = 3) -> nn.Module:
    layers = [nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), unit, nn.MaxPool2d(2), CropConcat(8, 3)]
    return _loud(nn.Sequential(*layers, nn.Flatten(), nn.Linear(10 * ((side - 4) // 2 - 2) ** 2, 2)))


def models(folder: Path) -> Iterator[tuple[str, Model]]:
    """Kind and model, one by one."""
    torch.manual_seed(1)
    yield "DNN1 (2013)", Model(_card("DNN1", "dannet", 101), _loud(DanNet(DNN1)))
    second = Model(_card("DNN2", "dannet", 101), _loud(DanNet(DNN2)))
    yield "DNN2 (2013)", second
    yield "dannet-2013 (both, shipped)", load_model("dannet-2013")
    yield "mitosis-1 (shipped)", load_model("mitosis-1")
    yield "mitosis-2 (shipped)", load_model("mitosis-2")
    columns = [Model(replace(_card(f"column {i}", "dannet", 101), mpp=0.25 * i), _loud(DanNet(DNN1))) for i in (1, 2)]
    yield "committee: two columns, one at half the resolution", join_models(columns, "committee")
    yield "residual, valid", Model(_card("residual", "exported", 32), _valid(CropResidual(8, 3), 32))
    yield "highway, valid", Model(_card("highway", "exported", 32), _valid(Highway(8, 3), 32))
    five = replace(_card("five", "exported", 32), normalisation=Normalisation(mean=(0.5,) * 5, std=(0.5,) * 5))
    yield "residual, of five channels", Model(five, _valid(CropResidual(8, 3), 32, 5))
    padded = _loud(vgg_like((8, 16), 48))
    yield "VGG-like, padded", Model(_card("vgg", "exported", 48), padded)
    path = write_onnx(folder / "net.onnx", second.net, patch_size=second.card.patch_size)
    write_card(folder, replace(second.card, architecture="onnx", arguments={}))
    (folder / "card.toml").rename(path.with_suffix(".toml"))
    yield "ONNX file of DNN2", load_model(path)
    save_model(folder / "program", Model(_card("program", "exported", 32), _valid(CropResidual(8, 3), 32)))
    yield "torch.export program", load_model(folder / "program")
    for name in ("resnet18", "efficientnet_b0"):
        net = _loud(build_timm(name=name))
        yield f"timm {name}, 64 px", Model(replace(_card(name, "timm", 64), stride=64), net)


def main() -> None:
    """Print the table, and keep it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    lines = [
        "| model | runs | positions | float64 | float32 | bfloat16 | first inexact layer |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind, model in models(Path(folder)):
            effort = full_effort(model)
            effort = Effort(_STRIDES, effort.images, effort.forms, _POSITIONS, effort.seconds)
            content = describe_certificate(model, certify(model, effort))
            assert content["is_exact"], kind
            largest = content["max_difference"]
            found = " | ".join(f"{largest[key]:.0e}" if key in largest else "" for key in PRECISIONS)
            inexact = content["first_inexact_layer"]
            name = "" if inexact is None else f"`{inexact['layer']}`"
            lines.append(f"| {kind} | {content['runs']} | {content['positions']} | {found} | {name} |")
            print(lines[-1], flush=True)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "certificates.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
