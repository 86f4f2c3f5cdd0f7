"""Training batches: a pure function of seed and step, so that a resumed training sees the same batches."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.normalisation import NormalisationKind
from scanner.training.augment import (
    StainChange,
    add_noise,
    blur_or_sharpen,
    change_stain,
    coarsen,
    compress,
    draw_stain_change,
    normalise,
    to_bytes,
)
from scanner.training.blending import blend, draw_host
from scanner.training.crops import crop_targets, cut_crops, draw_view
from scanner.training.devices import see_by_device
from scanner.training.plain import plain_images
from scanner.training.recipe import Augmentation, Recipe
from scanner.training.sampling import Place, TrainingSet, draw_places
from scanner.training.stain import interpolate_stains


def make_batch(training_set: TrainingSet, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """Images (N, C, crop, crop), float32, normalised, and targets (N, outputs, outputs) of one step."""
    rng = np.random.default_rng((recipe.seed, step))
    settings = recipe.augmentation
    places = draw_places(training_set.pools, recipe.shares, count=recipe.batch_size, rng=rng)
    fields = [training_set.fields[place.field] for place in places]
    views = [draw_view(place, field, recipe, rng) for place, field in zip(places, fields, strict=True)]
    crops = cut_crops(fields, views, recipe.crop_size)
    if training_set.stains is None:
        images = plain_images(crops, settings, channels=recipe.channels, rng=rng)
        return images, crop_targets(fields, views, recipe)
    draw = partial(draw_host, fields=training_set.fields, pools=training_set.pools, recipe=recipe, rng=rng)
    hosts = [draw(place, view) for place, view in zip(places, views, strict=True)]
    crops = blend(crops, places, views, hosts, training_set, recipe, rng)
    seen = [place if host is None else host.place for place, host in zip(places, hosts, strict=True)]
    changes = [_draw_change(training_set, place, settings, rng) for place in seen]
    images = see_by_device(change_stain(crops, changes), settings, rng)
    images = coarsen(images, settings, rng=rng)
    images = blur_or_sharpen(images, chance=settings.blur, rng=rng)
    images = add_noise(images, chance=settings.noise, rng=rng)
    pixels = compress(to_bytes(images), settings, rng=rng)
    targets = crop_targets(fields, views, recipe)
    if recipe.normalisation is NormalisationKind.AFFINE:
        plain = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        return (plain / 255 - 0.5) / 0.5, targets
    return normalise(pixels, changes), targets


def _draw_change(
    training_set: TrainingSet, place: Place, settings: Augmentation, rng: np.random.Generator
) -> StainChange:
    stains, is_cutout = training_set.stains, bool(training_set.fields[place.field].source)
    assert stains is not None
    # A scan measures anything from one field to a whole slide.
    measured = interpolate_stains(stains.fields[place.field], stains.cases[place.field], rng.random())
    exchange = rng.random() < (settings.exchange_figures if is_cutout else settings.exchange)
    target = stains.fields[int(rng.integers(len(stains.fields)))] if exchange else None
    return draw_stain_change(measured, target, settings, rng)
