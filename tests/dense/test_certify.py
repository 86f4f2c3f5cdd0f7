"""A certificate holds for exact nets, and would not hold for one that is off by a pixel."""

from __future__ import annotations

import json

import pytest
import torch

from models import Model, load_model
from scanner.dense import DenseNet
from scanner.dense.certify import certify, describe_certificate
from scanner.errors import InexactLayerError
from tests.small_models import random_model


def test_a_small_model_is_certified() -> None:
    model = random_model()
    certificate = describe_certificate(model, certify(model))
    assert certificate["is_exact"]
    assert certificate["max_difference"]["float64"] <= 1e-12
    assert certificate["positions"] > 1000
    assert json.loads(json.dumps(certificate)) == certificate


def test_a_net_that_answers_for_the_neighbouring_patch_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = DenseNet.forward
    monkeypatch.setattr(DenseNet, "forward", lambda self, images: forward(self, images.roll(1, dims=2)))
    monkeypatch.setattr("scanner.dense.dense_net._check_conversion", lambda net, dense: None)
    comparisons = certify(random_model())
    assert not any(c.is_exact for c in comparisons if c.image == "noise")


def test_an_inexact_classifier_is_refused_by_its_layer() -> None:
    model = random_model()
    net = torch.nn.Sequential(torch.nn.InstanceNorm2d(3), model.net).eval()
    with pytest.raises(InexactLayerError, match="'0'"):
        certify(Model(model.card, net))


@pytest.mark.slow
def test_the_shipped_model_is_certified() -> None:
    model = load_model("mitosis-1")
    assert all(comparison.is_exact for comparison in certify(model))
