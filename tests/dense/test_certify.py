"""A certificate holds for exact nets, and would not hold for one that is off by a pixel."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from models import Model, list_models
from models.columns.dannet import DNN1, DNN2, DanNet, DanNetConfig
from models.columns.p4mnet import P4MNet
from models.columns.validnet import ValidNet, ValidNetConfig
from models.committee import Committee
from models.registry import CERTIFICATE_NAME
from models.sources import ZOO
from scanner.dense import DenseNet
from scanner.dense.certify import Effort, Form, certify, describe_certificate, sample_effort
from tests.dense.test_capabilities import AMX, AVX2, NO_KERNEL
from tests.networks.padded import Gate, vgg_like
from tests.networks.plain import CropResidual, Highway, randomise
from tests.networks.small_models import random_model

#: Less than `full_effort`, on the same kinds of images.
QUICK = Effort((3,), ("noise", "border", "flat", "stripes"), (Form.FRAGMENTS, Form.AUTO), 3, 60.0)


def model_of(net: nn.Module, patch_size: int) -> Model:
    return Model(replace(random_model().card, patch_size=patch_size, stride=3), net.float().eval())


def test_a_small_model_is_certified() -> None:
    model = random_model()
    certificate = describe_certificate(model, certify(model))
    assert certificate["is_exact"]
    assert certificate["runs"] == "dense"
    assert certificate["max_difference"]["float64"] <= 1e-12
    left = {entry["what"]: entry["why"] for entry in certificate["not_run"]}
    assert ("bfloat16" in certificate["max_difference"]) == ("bfloat16" not in left)
    assert 0 < certificate["max_difference"].get("bfloat16", 0.1) < 0.5
    assert certificate["positions"] > 1000
    assert certificate["kinds"] == ["adversarial", "border", "random", "tile edge"]
    assert json.loads(json.dumps(certificate)) == certificate


def _committee() -> nn.Module:
    small = DanNetConfig(stages=((4, 3), (4, 2)), patch_size=15, hidden=6)
    large = DanNetConfig(stages=((4, 2), (4, 3), (4, 2)), patch_size=24, hidden=6)
    return Committee([DanNet(small), DanNet(large)], [15, 24])


KINDS = {
    "DNN1": (lambda: DanNet(DNN1), 101, "dense"),
    "DNN2": (lambda: DanNet(DNN2), 101, "dense"),
    "committee": (_committee, 24, "dense"),
    "residual": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 1), CropResidual(2, 3), nn.Flatten(), nn.Linear(200, 2)),
        12,
        "dense",
    ),
    "highway": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Highway(4, 3), nn.Flatten(), nn.Linear(256, 2)), 12, "dense"),
    "padded": (lambda: vgg_like((4, 6), 20), 20, "zones"),
    "gated at once": (lambda: nn.Sequential(nn.GroupNorm(1, 3), Gate(3), nn.Flatten(), nn.Linear(300, 2)), 10, "patch"),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_network_is_certified(name: str) -> None:
    make, patch_size, runs = KINDS[name]
    torch.manual_seed(1)
    model = model_of(make() if name.startswith("DNN") else randomise(make(), 2), patch_size)
    certificate = describe_certificate(model, certify(model, QUICK))
    assert certificate["is_exact"], certificate
    assert certificate["runs"] == runs
    assert (certificate["first_inexact_layer"] is None) == (runs == "dense")


def test_a_net_that_answers_for_the_neighbouring_patch_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = DenseNet.forward
    monkeypatch.setattr(DenseNet, "forward", lambda self, images: forward(self, images.roll(1, dims=2)))
    monkeypatch.setattr("scanner.dense.dense_net.check_conversion", lambda net, dense: None)
    comparisons = certify(random_model(), replace(QUICK, images=("noise",)))
    assert not any(c.is_exact for c in comparisons if c.tolerance is not None)


@pytest.mark.parametrize("is_true", [True, False])
def test_a_claim_to_be_equivariant_is_certified_if_it_is_true(is_true: bool) -> None:
    torch.manual_seed(0)
    config = ValidNetConfig(stem=8, stem_kernel=5, stages=(8,), head=8, patch_size=43)
    net = P4MNet(config).written_out() if is_true else ValidNet(config)
    model = model_of(net, 43)
    model = replace(model, card=replace(model.card, architecture="p4mnet"))
    comparisons = certify(model, QUICK)
    turned = [one for one in comparisons if one.kind == "turned"]
    assert len(turned) == len(comparisons) / 2
    assert all(one.is_exact for one in comparisons if one.kind != "turned")
    assert describe_certificate(model, comparisons)["is_exact"] is is_true


def test_what_a_machine_has_not_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    left = {}
    for name, machine in (("old", replace(AVX2, kernel=NO_KERNEL)), ("new", AMX)):
        monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda machine=machine: machine)
        model = random_model()
        content = describe_certificate(model, [])
        left[name] = {entry["what"]: entry["why"] for entry in content["not_run"]}
    assert left["new"] == {}
    assert left["old"].keys() == {"bfloat16", "float32, native form"}
    assert left["old"]["float32, native form"] == "no C++ compiler"


def test_a_machine_without_bfloat16_never_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: AVX2)
    found = certify(random_model(), QUICK)
    assert {comparison.dtype for comparison in found} == {"float64", "float32"}


def test_a_sample_ends_in_time() -> None:
    assert len(certify(random_model(), replace(sample_effort(2), seconds=0.0))) == 1


def test_certificates_of_shipped_models_are_theirs_and_hold() -> None:
    cards = {card.name: card for card in list_models()}
    for path in ZOO.glob(f"*/{CERTIFICATE_NAME}"):
        content = json.loads(path.read_text())
        assert content["model"]["sha256"] == cards[path.parent.name].sha256
        assert content["is_exact"]
