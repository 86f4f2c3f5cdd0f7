"""Augmentation of grey crops: contrast, brightness, blur and noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.normalisation import grey_from_colour
from scanner.training.augment import add_noise, blur_or_sharpen
from scanner.training.recipe import Augmentation


def grey_images(crops: Tensor, settings: Augmentation, *, rng: np.random.Generator) -> Tensor:
    """Network input (N, 1, H, W), plainly normalised, of crops (N, 3, H, W) of grey levels 0 to 255.

    Contrast is changed around the middle grey by a factor, brightness by a shift, both random.
    """
    levels = grey_from_colour(crops.round().to(torch.uint8).permute(0, 2, 3, 1)).float()[..., 0]  # (N, H, W)
    count = len(levels)
    factor = torch.from_numpy(np.exp(rng.normal(0, settings.contrast, (count, 1, 1)))).float()
    shift = torch.from_numpy(rng.normal(0, settings.brightness, (count, 1, 1)) * 255).float()
    levels = ((levels - 127.5) * factor + 127.5 + shift).clamp_(0.0, 255.0)
    images = levels[:, None]  # (N, 1, H, W)
    if settings.blur > 0:
        images = blur_or_sharpen(images.expand(-1, 3, -1, -1), chance=settings.blur, rng=rng)[:, :1]
    images = add_noise(images, chance=settings.noise, rng=rng).clamp_(0.0, 255.0)
    return ((images / 255 - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
