from __future__ import annotations

import numpy as np
import torch

from scanner.training.augment import add_noise, blur_or_sharpen, coarsen, compress, to_bytes
from scanner.training.recipe import Augmentation
from tests.training.data_folder import draw_field


def images_of(count: int) -> torch.Tensor:
    fields = [draw_field([(20 + seed, 40)], seed) for seed in range(count)]
    return torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2).float()


def test_without_chances_nothing_changes():
    images, rng = images_of(4), np.random.default_rng(0)
    torch.testing.assert_close(blur_or_sharpen(images, chance=0, rng=rng), images, rtol=0, atol=0)
    torch.testing.assert_close(add_noise(images, chance=0, rng=rng), images, rtol=0, atol=0)
    torch.testing.assert_close(coarsen(images, Augmentation(coarse=0), rng=rng), images, rtol=0, atol=0)
    np.testing.assert_array_equal(compress(to_bytes(images), Augmentation(jpeg=0), rng=rng), to_bytes(images))


def test_nothing_is_changed_in_place():
    images, rng = images_of(4), np.random.default_rng(0)
    before = images.clone()
    blur_or_sharpen(images, chance=1, rng=rng)
    add_noise(images, chance=1, rng=rng)
    coarsen(images, Augmentation(coarse=1), rng=rng)
    compress(to_bytes(images), Augmentation(jpeg=1), rng=rng)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_noise_and_blur_keep_the_mean():
    images, rng = images_of(6), np.random.default_rng(1)
    blurred = blur_or_sharpen(images, chance=1, fringe=0.4, rng=rng)
    for changed in (blurred, add_noise(images, chance=1, rng=rng)):
        torch.testing.assert_close(changed.mean(dim=(2, 3)), images.mean(dim=(2, 3)), rtol=0, atol=1.5)


def test_jpeg_changes_every_image_a_little():
    pixels = to_bytes(images_of(5))
    compressed = compress(pixels, Augmentation(jpeg=1), rng=np.random.default_rng(0))
    difference = np.abs(compressed.astype(int) - pixels).mean(axis=(1, 2, 3))
    assert (difference > 0).all()
    assert (difference < 20).all()


def test_a_coarser_scanner_keeps_places_and_loses_detail():
    images = images_of(6)
    coarse = coarsen(images, Augmentation(coarse=1, coarsest=2.0), rng=np.random.default_rng(1))
    torch.testing.assert_close(coarse.mean(dim=(2, 3)), images.mean(dim=(2, 3)), rtol=0, atol=1.0)
    detail = [one.diff(dim=3).abs().mean() for one in (coarse, images)]
    assert detail[0] < 0.9 * detail[1]
    darkest = [
        np.unravel_index(one.mean(dim=0)[15:30, 30:50].numpy().argmin(), (15, 20)) for one in (coarse[3], images[3])
    ]
    assert np.abs(np.subtract(*darkest)).max() <= 4
