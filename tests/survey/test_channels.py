"""Models of any number of channels: scanned exactly, certified, joined, and never with slides of other channels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from models import load_model, save_model
from models.card import card_from_toml, card_to_toml
from models.errors import CardError
from models.joining import join_models
from models.normalisation import Normalisation, NormalisationKind
from models.pixel_tables import apply_table, normalisation_table
from scanner.dense.certify import certify, sample_effort
from scanner.errors import UnsupportedSlideError
from scanner.inference.scorer import target_probability
from scanner.scanning import scan
from tests.cli.commands import in_process
from tests.factories.channels import as_ome, as_one_page, stained, write_slide
from tests.factories.slides import texture
from tests.networks import models as factory
from tests.networks.plain import randomise
from tests.networks.reference import patch_by_patch
from tests.networks.small_models import random_model

#: Rounding of float32 sums in another order, on probabilities.
FLOAT32 = {"rtol": 0.0, "atol": 1e-5}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five channels, 0.25 um/px, near black as fluorescence is."""
    return write_slide(as_ome, tmp_path_factory.mktemp("slides"), stained(157, 171, 5))[0]


@pytest.mark.parametrize("channels", [2, 5])
def test_the_map_is_the_classifier_patch_by_patch(tmp_path: Path, channels: int) -> None:
    pixels = stained(47, 38, channels)
    path, _ = write_slide(as_one_page, tmp_path, pixels, levels=1)
    model = random_model(channels=channels)
    result = scan(path, model, tmp_path / "out", stride=1)
    mirrored = np.pad(pixels, ((10, 10), (10, 10), (0, 0)), mode="reflect")
    with torch.no_grad():
        image = apply_table(torch.from_numpy(mirrored)[None], normalisation_table(model.card.normalisation))
        expected = target_probability(patch_by_patch(model.net, image, 21), model.card)[0].numpy()
    np.testing.assert_allclose(np.asarray(result.map), expected, **FLOAT32)
    result.map.close()
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["certificate"]["is_exact"]
    assert report["area_mm2"]["scanned"] == pytest.approx(47 * 38 / 16e6)  # nothing of it is taken for glass


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tile_size=st.integers(20, 200), batch_size=st.integers(1, 3), mpp=st.sampled_from([0.25, 0.2273, 0.4]))
def test_the_map_does_not_depend_on_tiles(slide: Path, tile_size: int, batch_size: int, mpp: float) -> None:
    model = random_model(channels=5)
    expected = scan(slide, model, mpp=mpp)
    result = scan(slide, model, mpp=mpp, tile_size=tile_size, batch_size=batch_size)
    np.testing.assert_allclose(np.asarray(result.map), np.asarray(expected.map), **FLOAT32)


def test_a_scan_of_channels_writes_every_file(tmp_path: Path, slide: Path) -> None:
    save_model(tmp_path / "m", random_model(channels=5))
    code, _, errors = in_process("scan", slide, "-o", tmp_path / "out", "-m", tmp_path / "m", "--verify-tiling")
    assert code == 0, errors
    (folder,) = (path.parent for path in tmp_path.glob("out/*/run.json"))
    assert {"detections.geojson", "detections.csv", "map.ome.tiff", "overview.png", "report.html"} <= {
        path.name for path in folder.iterdir()
    }
    with Image.open(folder / "overview.png") as picture:
        assert picture.convert("RGB").getextrema() != ((255, 255),) * 3


def test_certificates_and_committees_take_any_number_of_channels(tmp_path: Path) -> None:
    columns = [random_model(channels=4, seed=0), random_model(channels=4, seed=1, patch_size=19)]
    brighter = replace(columns[1].card, normalisation=Normalisation(mean=(0.2,) * 4, std=(0.3, 0.4, 0.5, 0.6)))
    columns[1] = replace(columns[1], card=brighter)
    save_model(tmp_path / "m", join_models(columns, "both"))
    comparisons = certify(load_model(tmp_path / "m"), sample_effort(2))
    assert comparisons
    assert all(one.is_exact for one in comparisons)
    with pytest.raises(CardError, match="random reads 4 channels, random reads 2"):
        join_models([random_model(channels=2), columns[0]], "unlike")


def test_a_slide_of_other_channels_is_refused(tmp_path: Path, slide: Path) -> None:
    Image.fromarray(texture(60, 60)).save(tmp_path / "rgb.png")
    with pytest.raises(UnsupportedSlideError, match=r"rgb\.png: 3 channels, but 5 are needed"):
        scan(tmp_path / "rgb.png", random_model(channels=5))
    for model in (random_model(), random_model(channels=1)):
        with pytest.raises(UnsupportedSlideError, match="SizeC = 5"):
            scan(slide, model)
    with pytest.raises(UnsupportedSlideError, match="5 channels, but 3 are needed"):
        scan(slide, random_model(), any_stain=True)


def test_three_channels_that_are_no_colours_are_scanned_on_demand_only(tmp_path: Path) -> None:
    path, _ = write_slide(as_ome, tmp_path, stained(80, 70, 3))
    with pytest.raises(UnsupportedSlideError, match="SizeC = 3"):
        scan(path, random_model())
    scan(path, random_model(), any_stain=True).map.close()


def test_only_colour_has_a_stain() -> None:
    card = random_model(channels=2).card
    with pytest.raises(CardError, match=r"red, green and blue, not for 2 channels.*affine"):
        replace(card, normalisation=replace(card.normalisation, kind=NormalisationKind.STAIN))
    with pytest.raises(CardError, match="one number, and one above 0, a channel"):
        replace(card, normalisation=Normalisation(mean=(0.5, 0.5), std=(0.5,)))
    with pytest.raises(CardError, match="2 channels"):
        card_from_toml(card_to_toml(card).replace('"affine"', '"stain"'))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_network_of_other_channels_is_imported(tmp_path: Path, channels: int) -> None:
    layers = nn.Sequential(nn.Conv2d(channels, 4, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 64, 2))
    net = randomise(layers, 1).float().eval()
    example = torch.zeros(2, channels, 20, 20)
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("patches")},))
    torch.export.save(program, tmp_path / "net.pt2")
    how = (tmp_path / "net.pt2", "-o", tmp_path / "m", "--mpp", "0.25", "--patch-size", str(factory.PATCH))
    code, _, errors = in_process("import", *how)
    assert (code, "patches of 20 px in 3 channels" in errors) == (1, True)
    code, _, errors = in_process("import", *how, "--channels", str(channels), "--channel-order", "BGR")
    assert (code, "'BGR' is for three channels" in errors) == (1, True)
    code, _, errors = in_process("import", *how, "--channels", str(channels), "--mean", "0.1,0.2,0.3")
    assert (code, f"3 numbers for {channels} channels" in errors) == (2, True)
    code, _, errors = in_process("import", *how, "--channels", str(channels), "--mean", "0.1", "--std", "0.2")
    assert code == 0, errors
    loaded = load_model(tmp_path / "m")
    assert loaded.card.normalisation == Normalisation(mean=(0.1,) * channels, std=(0.2,) * channels)
    assert all(one.is_exact for one in certify(loaded, sample_effort(2)))
