"""What devices do to a picture: by chance alone, within limits, nothing in place, places and shapes kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scanner.training.devices import change_tone, demosaic, mix_amplitudes, see_by_device, shade
from scanner.training.recipe import Augmentation
from tests.training.test_augment import images_of

CHANGES = {
    "tone": lambda images, rng: change_tone(images, spread=0.2, rng=rng),
    "light": lambda images, rng: shade(images, rng=rng),
    "amplitudes": lambda images, rng: mix_amplitudes(images, chance=1.0, rng=rng),
    "mosaic": lambda images, rng: demosaic(images, chance=1.0, rng=rng),
    "device": lambda images, rng: see_by_device(images, Augmentation(device=1.0), rng),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_device_changes_pictures_and_nothing_in_place(name):
    images, rng = images_of(6), np.random.default_rng(0)
    before = images.clone()
    changed = CHANGES[name](images, rng)
    torch.testing.assert_close(images, before, rtol=0, atol=0)
    assert ((changed - images).abs().amax(dim=(1, 2, 3)) > 0.5).sum() >= 5  # A crop may be its own partner.
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize("change", [mix_amplitudes, demosaic])
def test_without_chance_nothing_changes(change):
    images = images_of(3)
    torch.testing.assert_close(change(images, chance=0.0, rng=np.random.default_rng(0)), images, rtol=0, atol=0)


def test_a_share_of_the_crops_is_seen_by_another_device():
    images = images_of(64)
    seen = see_by_device(images, Augmentation(device=0.5), np.random.default_rng(0))
    changed = (seen != images).flatten(1).any(dim=1)
    assert 20 <= changed.sum() <= 44


def test_a_grey_picture_comes_through_a_mosaic_as_it_is_where_it_is_even():
    flat = torch.full((2, 3, 12, 13), 90.0)
    torch.testing.assert_close(demosaic(flat, chance=1.0, rng=np.random.default_rng(0)), flat)


def test_a_mosaic_keeps_the_colour_that_each_pixel_has():
    images = images_of(1)
    seen = demosaic(images, chance=1.0, rng=np.random.default_rng(0))
    torch.testing.assert_close(seen[:, 0, ::2, ::2], images[:, 0, ::2, ::2])
    torch.testing.assert_close(seen[:, 1, ::2, 1::2], images[:, 1, ::2, 1::2])
    torch.testing.assert_close(seen[:, 2, 1::2, 1::2], images[:, 2, 1::2, 1::2])


def test_the_mean_colour_is_no_matter_of_sharpness():
    images = images_of(6).clamp(60, 200)
    seen = mix_amplitudes(images, chance=1.0, rng=np.random.default_rng(3))
    torch.testing.assert_close(seen.mean(dim=(2, 3)), images.mean(dim=(2, 3)), rtol=0, atol=2.0)


def test_a_recipe_without_devices_sees_what_was_scanned():
    images = images_of(3)
    torch.testing.assert_close(see_by_device(images, Augmentation(), np.random.default_rng(0)), images, rtol=0, atol=0)
