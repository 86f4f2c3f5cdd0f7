"""`mitoscan import`, `committee`, `certify`, and what `scan` makes of their models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models import load_folds, load_model, save_model
from models.errors import CardError
from models.importing.libraries import build_timm, build_torchvision
from models.registry import CERTIFICATE_NAME
from scanner.dense import densify
from scanner.errors import InexactLayerError
from scanner.inference.engine import choose_network
from service.jobs.catalog import Catalog
from tests.cli.commands import in_process
from tests.factories.slides import texture, write_pyramid
from tests.networks import models as factory
from tests.networks.reference import patch_by_patch
from tests.networks.small_models import random_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
_HOW = ("--mpp", "0.5", "--patch-size", str(factory.PATCH), "--stride", "2", "--radius-um", "3")


def scan_with(model: Path, tmp_path: Path) -> tuple[dict[str, object], str]:
    """run.json of a small slide, and what was said on stderr."""
    slide = tmp_path / "a.tif"
    write_pyramid(slide, texture(90, 80), levels=1, mpp=0.5)
    code, _, said = in_process("scan", slide, "-o", tmp_path / "out", "-m", model, "--no-tissue")
    assert code == 0, said
    return json.loads((tmp_path / "out" / "a" / "run.json").read_text()), said


def test_an_imported_network_scans_and_is_certified(tmp_path: Path) -> None:
    source = factory.write_exported(tmp_path / "net.pt2", factory.everything())
    code, said, errors = in_process("import", source, "-o", tmp_path / "m", *_HOW)
    assert (code, said.startswith(f"{tmp_path / 'm'}: m, dense, 0.0")) == (0, True), errors
    report, _ = scan_with(tmp_path / "m", tmp_path)
    assert report["certificate"]["is_exact"]
    assert report["model"]["sha256"] == load_model(tmp_path / "m").card.sha256
    assert (tmp_path / "m" / CERTIFICATE_NAME).is_file()


def test_a_padded_network_is_scanned_by_zones_and_the_estimate_is_printed(tmp_path: Path) -> None:
    source = factory.write_exported(tmp_path / "net.pt2", factory.padded(40), patch_size=40)
    how = ("--mpp", "0.5", "--patch-size", "40", "--stride", "2")
    assert in_process("import", source, "-o", tmp_path / "m", *how)[0] == 0
    report, said = scan_with(tmp_path / "m", tmp_path)
    assert "network: by zones up to" in said
    assert "times as many" in said
    assert report["certificate"]["runs"] == "zones"
    code, said, _ = in_process("certify", tmp_path / "m")
    assert code == 0
    assert said.startswith(f"{tmp_path / 'm' / CERTIFICATE_NAME}: exact, zones; ")
    assert "first inexact layer" in said
    assert json.loads((tmp_path / "m" / CERTIFICATE_NAME).read_text())["max_difference"]["float64"] <= 1e-12


def test_torchscript_runs_patch_by_patch_with_a_warning_and_never_in_the_service(tmp_path: Path) -> None:
    bundle = factory.write_bundle(tmp_path / "b", factory.padded())
    report, said = scan_with(bundle, tmp_path)
    assert "warning: bundle is TorchScript, code" in said
    assert report["network"] == "patch by patch"
    assert in_process("import", bundle, "-o", tmp_path / "offered" / "script")[0] == 0
    save_model(tmp_path / "offered" / "plain", random_model())
    assert {"random"} == set(Catalog(tmp_path / "offered", None).entries) - set(Catalog(None, None).entries)


def test_columns_are_joined_and_their_cost_is_shown(tmp_path: Path) -> None:
    for seed in (0, 1):
        save_model(tmp_path / f"m{seed}", random_model(seed=seed, patch_size=19 + seed))
    columns = (tmp_path / "m0", tmp_path / "m1")
    code, said, _ = in_process("committee", *columns, "-o", tmp_path / "both", "--symmetries", "8")
    assert code == 0
    assert [line.split(",")[0] for line in said.splitlines()[:2]] == ["column random: dense", "column random: dense"]
    assert "both, 8 symmetries, each dense" in said
    report, _ = scan_with(tmp_path / "both", tmp_path)
    assert report["certificate"]["is_exact"]


def test_folds_that_all_columns_have_are_joined_too(tmp_path: Path) -> None:
    def save(folder: Path, seed: int, **training: object) -> None:
        model = random_model(seed=seed)
        save_model(folder, replace(model, card=replace(model.card, training=training)))

    for seed, column in enumerate(("a", "b")):
        save(tmp_path / column, seed, cases=["1", "2", "3"], fields_mpp=0.24)
        save(tmp_path / column / "folds" / "1", seed + 10, cases=["2", "3"], held_out=["1"])
    save(tmp_path / "a" / "folds" / "2", 20, cases=["1", "3"], held_out=["2"])
    code, _, errors = in_process("committee", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "both")
    assert (code, errors) == (0, "")
    training = load_model(tmp_path / "both").card.training
    assert training == {"columns": ["random"] * 2, "cases": ["1", "2", "3"], "held_out": [], "fields_mpp": 0.24}
    (fold,) = load_folds(tmp_path / "both")
    assert (fold.card.training["cases"], fold.card.training["held_out"]) == (["2", "3"], ["1"])
    patches, columns = torch.randn(2, 3, *[fold.card.patch_size] * 2), [load_folds(tmp_path / c)[0] for c in "ab"]
    with torch.no_grad():
        expected = sum(torch.softmax(column.net(patches), 1) for column in columns) / 2
        torch.testing.assert_close(torch.exp(fold.net(patches)), expected)


def test_what_cannot_be_imported_is_one_line_and_leaves_no_model(tmp_path: Path) -> None:
    source = factory.write_exported(tmp_path / "net.pt2", factory.everything())
    for arguments, reason in (
        ((source,), "does not say its mpp"),
        ((source, *_HOW, "--classes", "a,b,c"), "3 classes"),
        ((source, *_HOW, "--scores", "odds"), "known are"),
        ((tmp_path / "none.onnx", *_HOW), "cannot be imported"),
        (("timm:resnet18", *_HOW), "--weights"),
        ((tmp_path, *_HOW), "no WSInfer bundle"),
    ):
        code, _, errors = in_process("import", *arguments, "-o", tmp_path / "m")
        assert code == 1
        assert reason in errors
        assert len(errors.strip().splitlines()) == 1
        assert not (tmp_path / "m" / "card.toml").exists()


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "conv1"), ("efficientnet_b0", "conv_stem")])
def test_classifiers_of_timm_come_by_name(name: str, layer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_timm(name=name, num_classes=2).eval()
    with pytest.raises(InexactLayerError, match=f"layer '{layer}' cannot be made dense exactly: padding"):
        densify(net, 64)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    how = ("--mpp", "0.5", "--patch-size", "64", "--stride", "64", "--weights", tmp_path / "weights.safetensors")
    code, said, _ = in_process("import", f"timm:{name}", "-o", tmp_path / "m", *how)
    assert code == 0
    assert f"patch by patch only: layer 'net.{layer}' cannot be made dense exactly: padding" in said
    runner, image = choose_network(load_model(tmp_path / "m"), stride=32, engine="patch"), torch.rand(1, 3, 96, 100)
    with torch.no_grad():
        torch.testing.assert_close(runner(image), patch_by_patch(net, image, 64, 32))


def test_classifiers_of_torchvision_come_by_name() -> None:
    net = build_torchvision(name="resnet18", num_classes=3).eval()
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    with pytest.raises(CardError, match="torchvision makes no 'nothing'"):
        build_torchvision(name="nothing")
    with pytest.raises(CardError, match="timm makes no 'nothing'"):
        build_timm(name="nothing")
