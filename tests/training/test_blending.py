"""A place blended into other tissue: its figure stays where and what it is, its surroundings are the host's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scanner.training.augment import change_stain
from scanner.training.batches import make_batch
from scanner.training.blending import EDGE_UM, RADIUS_UM, blend, draw_host, to_stain
from scanner.training.crops import cut_crops, draw_view
from scanner.training.recipe import Augmentation
from scanner.training.sampling import Place
from scanner.training.train import load_training_set


@pytest.fixture
def recipe(small_recipe):
    blended = Augmentation(jitter_px=3.0, blend=1.0, blend_figures=1.0)
    return replace(small_recipe, mpp=0.75, fields_mpp=0.75, figures_mpp=0.75, augmentation=blended)


@pytest.fixture
def training_set(recipe, data_folder):
    return load_training_set(recipe, data_folder)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("pool", ["figures", "cutouts", "disputed"])
def test_the_middle_is_the_place_and_the_rest_is_the_host(training_set, recipe, pool, seed):
    rng = np.random.default_rng(seed)
    fields, stains = training_set.fields, training_set.stains.fields
    place = training_set.pools.places[pool][seed % len(training_set.pools.places[pool])]
    view = draw_view(place, fields[place.field], recipe, rng)
    host = draw_host(place, view, fields, training_set.pools, recipe, rng)
    assert bool(fields[host.place.field].source) != bool(fields[place.field].source)
    size = recipe.crop_size
    crops = cut_crops([fields[place.field]], [view], size)
    blended = blend(crops, [place], [view], [host], training_set, recipe, rng)
    own = change_stain(crops, [to_stain(stains[place.field], stains[host.place.field])])
    around = cut_crops([fields[host.place.field]], [host.view], size)
    distance = distances_um(place, view, recipe)
    inside, outside = distance < RADIUS_UM[0] - EDGE_UM / 2, distance > RADIUS_UM[1] + EDGE_UM / 2
    assert inside.any()
    assert outside.any()
    torch.testing.assert_close(blended[0][:, inside], own[0][:, inside])
    torch.testing.assert_close(blended[0][:, outside], around[0][:, outside])


def distances_um(place: Place, view, recipe) -> np.ndarray:
    """Of each crop pixel from the place, found by looking for it pixel by pixel."""
    middle = (recipe.crop_size - 1) / 2
    rows, cols = np.mgrid[: recipe.crop_size, : recipe.crop_size] - middle
    where = np.einsum("ij,jhw->hwi", view.matrix, np.stack([rows, cols])) + view.centre
    own_px = np.sqrt(abs(np.linalg.det(view.matrix)))  # Level-0 pixels of a crop pixel.
    return np.linalg.norm(where - (place.row, place.col), axis=-1) / own_px * recipe.mpp


def test_without_chance_a_crop_keeps_its_surroundings(training_set, recipe):
    plain = replace(recipe, augmentation=Augmentation(jitter_px=3.0))
    rng, place = np.random.default_rng(0), training_set.pools.places["figures"][0]
    view = draw_view(place, training_set.fields[place.field], plain, rng)
    assert draw_host(place, view, training_set.fields, training_set.pools, plain, rng) is None
    crops = torch.rand(1, 3, 9, 9)
    assert blend(crops, [place], [view], [None], training_set, plain, rng) is crops


def test_a_batch_of_blended_crops_has_the_targets_of_its_places(training_set, recipe):
    plain = replace(recipe, shares={"cutouts": 1.0})
    images, targets = make_batch(training_set, plain, step=0)
    assert torch.isfinite(images).all()
    middle = targets.shape[1] // 2
    assert (targets[:, middle, middle] != 0).all()  # On the figure, or too near to it to count.
