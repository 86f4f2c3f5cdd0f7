"""Augmentation of crops without a stain, grey or of several channels: contrast, brightness, blur and noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.pixel_tables import grey_from_colour
from scanner.training.augment import add_noise, blur_or_sharpen
from scanner.training.recipe import Augmentation


def plain_images(crops: Tensor, settings: Augmentation, *, channels: int, rng: np.random.Generator) -> Tensor:
    """Network input (N, channels, H, W), plainly normalised, of crops (N, C, H, W) of levels 0 to 255.

    Of one channel it is the grey of crops in colour. In each channel contrast is changed around the middle level by a
    factor, brightness by a shift, both random.
    """
    levels = crops
    if channels == 1:
        levels = grey_from_colour(crops.round().to(torch.uint8).permute(0, 2, 3, 1)).float().permute(0, 3, 1, 2)
    shape = (len(levels), channels, 1, 1)
    factor = torch.from_numpy(np.exp(rng.normal(0, settings.contrast, shape))).float()
    shift = torch.from_numpy(rng.normal(0, settings.brightness, shape) * 255).float()
    images = ((levels - 127.5) * factor + 127.5 + shift).clamp_(0.0, 255.0)  # (N, channels, H, W)
    images = blur_or_sharpen(images, chance=settings.blur, rng=rng)
    images = add_noise(images, chance=settings.noise, rng=rng).clamp_(0.0, 255.0)
    return ((images / 255 - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
