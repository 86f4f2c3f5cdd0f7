"""Training on images without a stain: grey ones, and those of any number of channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.normalisation import NormalisationKind
from scanner.errors import SettingsError, UnsupportedSlideError
from scanner.evaluation.evaluate import evaluate
from scanner.labels.folder import LabelRules, read_labelled
from scanner.training.plain import plain_images
from scanner.training.recipe import Augmentation, Recipe
from scanner.training.train import train
from tests.factories.channels import as_one_page
from tests.factories.slides import Pixels

STILL = Augmentation(contrast=0.0, brightness=0.0, blur=0.0, noise=0.0)
#: Of the training below: cells are spots of this channel, which no picture in colour has.
CELLS = 3


def test_unchanged_crops_are_only_normalised() -> None:
    crops = torch.rand(3, 5, 20, 20) * 255
    images = plain_images(crops, STILL, channels=5, rng=np.random.default_rng(0))
    torch.testing.assert_close(images, (crops / 255 - 0.5) / 0.5)


def test_grey_is_made_of_colour() -> None:
    crops = torch.tensor([200.0, 100.0, 50.0]).view(1, 3, 1, 1).expand(2, 3, 20, 20)
    images = plain_images(crops, STILL, channels=1, rng=np.random.default_rng(0))
    luminance = (299 * 200 + 587 * 100 + 114 * 50 + 500) // 1000
    torch.testing.assert_close(images, torch.full((2, 1, 20, 20), (luminance / 255 - 0.5) / 0.5))


def test_each_channel_changes_for_itself_and_stays_within_its_range() -> None:
    crops = torch.full((4, 3, 20, 20), 100.0)
    settings = Augmentation(contrast=0.5, brightness=0.5, blur=1.0, noise=1.0)
    images = plain_images(crops, settings, channels=3, rng=np.random.default_rng(0))
    means = images.mean(dim=(2, 3))
    assert len(set(means.flatten().tolist())) == 12
    assert images.abs().max() <= 1.0
    again = plain_images(crops, settings, channels=3, rng=np.random.default_rng(0))
    torch.testing.assert_close(again, images, rtol=0, atol=0)


def draw(seed: int) -> tuple[Pixels, list[tuple[int, int]]]:
    """Four channels with spots of one each: those of CELLS are cells."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(30, 5, (120, 120, 4))
    rows, cols = np.mgrid[:120, :120]
    cells = []
    places = [(row, col) for row in range(16, 110, 22) for col in range(16, 110, 22)]
    for (row, col), channel in zip(places, rng.permutation(len(places)) % 4, strict=True):
        pixels[..., channel] += 160 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 18)
        if channel == CELLS:
            cells.append((row, col))
    return pixels.clip(0, 255).astype(np.uint8), cells


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields of four channels as TIFF, with points."""
    folder = tmp_path_factory.mktemp("channels")
    (folder / "images").mkdir()
    lines = ["image,x,y"]
    for seed in range(4):
        pixels, cells = draw(seed)
        as_one_page(folder / "images", [pixels]).rename(folder / "images" / f"{seed}.tif")
        lines += [f"{seed}.tif,{col},{row}" for row, col in cells]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def recipe() -> Recipe:
    """A training of seconds."""
    arguments = {"stages": [[8, 4], [16, 3]], "patch_size": 18, "hidden": 16, "channels": 4}
    return Recipe(
        "spots",
        "1",
        "dannet",
        arguments,
        network_stride=4,
        normalisation=NormalisationKind.AFFINE,
        classes=("background", "cell"),
        tuned_on=("2",),
        held_out=("3",),
        steps=120,
        batch_size=24,
        positive_um=0.8,
        ignored_um=1.6,
        mining=(0.5,),
        augmentation=Augmentation(jitter_px=2.0, contrast=0.05, brightness=0.02),
        card={"radius_um": 2.0, "smoothing_um": 0.4, "margin_um": 0.5, "stride": 2},
    )


def test_what_only_the_fourth_channel_shows_is_learned(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    model = train(recipe, folder, tmp_path / "m")
    assert model.card.normalisation.channels == 4
    rules = LabelRules(0.25, model.card.classes, channels=4)
    fields = [field for field in read_labelled(folder, rules) if field.case == "3"]
    assert fields[0].read().shape == (120, 120, 4)
    assert evaluate(model, fields).report()["pooled"]["f1"] > 0.8


def test_channels_have_no_stain(recipe: Recipe) -> None:
    with pytest.raises(SettingsError, match=r"4 channels have no stain.*affine"):
        replace(recipe, normalisation=NormalisationKind.STAIN)
    with pytest.raises(SettingsError, match="channels = 0"):
        replace(recipe, arguments=recipe.arguments | {"channels": 0})


def test_fields_of_other_channels_are_refused(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    two = replace(recipe, arguments=recipe.arguments | {"channels": 2})
    with pytest.raises(UnsupportedSlideError, match="4 channels, but 2 are needed"):
        train(two, folder, tmp_path / "m")
