"""Committees of unlike columns, and the eight symmetries: one dense net, exactly the average of what each says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models import Model, load_model, save_model
from models.errors import CardError
from models.joining import join_models
from models.normalisation import Normalisation, NormalisationKind
from models.symmetry import SYMMETRIES, Symmetric, turned, turned_back
from scanner.dense import densify
from scanner.dense.certify import Effort, Form, certify, describe_certificate
from scanner.inference.engine import choose_network, describe_network
from tests.networks.reference import patch_by_patch
from tests.networks.small_models import random_model

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def column(seed: int, *, patch_size: int = 13, mpp: float = 0.25, mean: float = 0.5) -> Model:
    model = random_model(patch_size=patch_size, seed=seed)
    return replace(model, card=replace(model.card, mpp=mpp, normalisation=Normalisation(mean=(mean,) * 3)))


def committee() -> tuple[list[Model], Model]:
    models = [column(0), column(1, patch_size=15, mpp=0.5), column(2, patch_size=14, mean=0.7)]
    return models, join_models(models, "three")


def test_each_column_sees_its_own_colours_scale_and_middle() -> None:
    models, joined = committee()
    assert (joined.card.patch_size, joined.card.mpp) == (30, 0.25)
    values = torch.rand(4, 3, 30, 30)
    patches = (values - 0.5) / 0.5
    total = torch.zeros(4, 2)
    for model, view in zip(models, joined.card.arguments["columns"], strict=True):
        scale, side = view["view"]["scale"], model.card.patch_size
        seen = nn.functional.avg_pool2d((values - model.card.normalisation.mean[0]) / 0.5, scale)
        start = seen.shape[2] // 2 - side // 2
        # Centres meet in pixels of the committee: a coarse column's begins where a whole pixel of it does.
        crop = 15 - side * scale // 2
        if scale == 1:
            assert crop == start
        total += torch.softmax(model.net(seen[:, :, start : start + side, start : start + side]), 1)
    with torch.no_grad():
        torch.testing.assert_close(torch.exp(joined.net(patches)), total / 3)


def test_a_committee_of_unlike_columns_is_one_exact_dense_net(tmp_path: Path) -> None:
    _, joined = committee()
    save_model(tmp_path / "c", joined)
    net = load_model(tmp_path / "c").net.double()
    image = torch.randn(1, 3, 37, 35, dtype=torch.float64)
    with torch.no_grad():
        for stride in (1, 2, 3):
            expected = patch_by_patch(net, image, 30, stride)
            torch.testing.assert_close(densify(net, 30, stride)(image), expected, **EXACT)


def test_columns_that_do_not_fit_are_refused() -> None:
    stained = Normalisation(NormalisationKind.STAIN, (0.2,) * 3, (0.1,) * 3)
    model = column(0)
    for other, reason in (
        (replace(model, card=replace(model.card, mpp=0.33)), "no multiple"),
        (replace(model, card=replace(model.card, classes=("a", "mitosis"))), "classes"),
        (replace(model, card=replace(model.card, normalisation=stained)), "statistics"),
        (replace(model, card=replace(model.card, architecture="onnx")), "registered family"),
    ):
        with pytest.raises(CardError, match=reason):
            join_models([model, other], "bad")
    with pytest.raises(CardError, match="at least 2"):
        join_models([model], "lonely")


def test_turning_back_undoes_turning() -> None:
    x = torch.randn(2, 3, 5, 8)
    assert len(SYMMETRIES) == 8
    seen = {tuple(turned(x[:, :, :5, :5], t, is_mirrored=m).flatten().tolist()) for t, m in SYMMETRIES}
    assert len(seen) == 8
    for turns, is_mirrored in SYMMETRIES:
        there = turned(x, turns, is_mirrored=is_mirrored)
        torch.testing.assert_close(turned_back(there, turns, is_mirrored=is_mirrored), x, rtol=0, atol=0)


@pytest.mark.parametrize("patch_size", [13, 14])
def test_eight_symmetries_of_the_tile_are_those_of_every_patch(patch_size: int) -> None:
    model = column(3, patch_size=patch_size)
    net = Symmetric(model.net, patch_size).double().eval()
    averaged = Model(replace(model.card, symmetries=8, patch_size=net.side), net)
    image = torch.randn(1, 3, 26, 31, dtype=torch.float64)
    with torch.no_grad():
        for stride in (1, 2, 3):
            expected = patch_by_patch(net, image, net.side, stride)
            for engine in ("dense", "patch"):
                found = choose_network(averaged, stride=stride, engine=engine)(image)
                torch.testing.assert_close(found, expected, **EXACT)
    assert describe_network(choose_network(averaged, stride=2)).startswith("8 symmetries, each dense")


@pytest.mark.parametrize("patch_size", [13, 14])
def test_all_views_are_of_the_same_pixel(patch_size: int) -> None:
    class Centre(nn.Module):
        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            value = patches[:, :1, patch_size // 2, patch_size // 2]
            return torch.cat([-value, value], dim=1)

    net = Symmetric(Centre(), patch_size)
    patches = torch.randn(5, 3, net.side, net.side)
    assert net.side // 2 == patch_size // 2, "the centre is where it was"
    torch.testing.assert_close(torch.exp(net(patches)), torch.softmax(Centre()(patches), 1))


@pytest.mark.parametrize("patch_size", [13, 14])
def test_a_card_with_symmetries_loads_and_is_certified(tmp_path: Path, patch_size: int) -> None:
    model = column(4, patch_size=patch_size)
    save_model(tmp_path / "m", replace(model, card=replace(model.card, symmetries=8)))
    loaded = load_model(tmp_path / "m")
    assert isinstance(loaded.net, Symmetric)
    effort = Effort((2,), ("noise", "flat"), (Form.AUTO,), 3, 60.0)
    assert describe_certificate(loaded, certify(loaded, effort))["is_exact"]
    save_model(tmp_path / "again", loaded)
    patches = torch.randn(2, 3, patch_size | 1, patch_size | 1)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "again").net(patches), loaded.net(patches))


def test_what_a_column_adds_to_colours_is_in_the_networks_numbers() -> None:
    _, joined = committee()
    dense = densify(joined.net, 30, 2).to(torch.bfloat16)
    image = torch.randn(1, 3, 37, 35)
    with torch.no_grad():
        fast, exact = dense(image.bfloat16()), densify(joined.net, 30, 2)(image)
    assert fast.dtype is torch.bfloat16
    torch.testing.assert_close(fast.float(), exact, rtol=0, atol=0.1)


def test_columns_that_read_the_slides_own_stain_are_joined() -> None:
    models = [random_model(seed=seed) for seed in range(2)]
    own = [Normalisation(NormalisationKind.STAIN, mean=(0.1 + seed,) * 3) for seed in range(2)]
    models = [replace(one, card=replace(one.card, normalisation=of)) for one, of in zip(models, own, strict=True)]
    joined = join_models(models, "two")
    patches = torch.randn(3, 3, joined.card.patch_size, joined.card.patch_size)
    with torch.no_grad():
        mean = sum(torch.softmax(one.net(patches), 1) for one in models) / 2
        torch.testing.assert_close(torch.exp(joined.net(patches)), mean)
