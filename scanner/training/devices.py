"""What cameras and scanners do to a picture after the stain: tone, uneven light, sharpness, mosaics of colour.

Each function takes grey levels (N, 3, H, W), float32, 0 to 255, and changes some of the images, each by chance, so that
a network cannot tell a figure by the device that saw it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from scanner.training.recipe import Augmentation

#: Of the light across a crop and of its mean: standard deviations of the factor's log.
SLOPE, LIGHT = 0.04, 0.06
#: Weights of the eight neighbours by which a missing colour of a mosaic is interpolated: green, then red and blue.
_GREEN = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]) / 4
_RED_BLUE = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 4


def see_by_device(images: Tensor, settings: Augmentation, rng: np.random.Generator) -> Tensor:
    """The crops as other devices would have seen them."""
    images = change_tone(images, spread=settings.tone, chance=settings.device, rng=rng)
    images = shade(images, chance=settings.device, rng=rng)
    images = mix_amplitudes(images, chance=settings.amplitudes, rng=rng)
    return demosaic(images, chance=settings.mosaic, rng=rng)


def change_tone(images: Tensor, *, spread: float, chance: float, rng: np.random.Generator) -> Tensor:
    """Some of `images` with another gamma, whose log has this standard deviation."""
    chosen = np.flatnonzero(rng.random(len(images)) < chance)
    gamma = torch.from_numpy(np.exp(rng.normal(0, spread, len(chosen)))).float()
    return _replaced(images, chosen, (images[chosen] / 255).clamp_min(1e-3) ** gamma[:, None, None, None] * 255)


def shade(images: Tensor, *, chance: float, rng: np.random.Generator) -> Tensor:
    """Some of `images` under more or less light than their slide, which also rises to one side."""
    chosen = np.flatnonzero(rng.random(len(images)) < chance)
    down, across, light = torch.from_numpy(rng.normal(0, 1, (3, len(chosen), 1, 1, 1))).float()
    ramp = torch.linspace(-1, 1, images.shape[2])
    factor = torch.exp(LIGHT * light + SLOPE * (down * ramp[:, None] + across * ramp))
    return _replaced(images, chosen, images[chosen] * factor)


def mix_amplitudes(images: Tensor, *, chance: float, rng: np.random.Generator) -> Tensor:
    """Some of `images` with the amplitudes of their spectrum moved towards those of another: its sharpness and grain.

    Xu et al. 2021, arXiv 2105.11120: phases, which hold the shapes, stay.
    """
    chosen = np.flatnonzero(rng.random(len(images)) < chance)
    if not len(chosen):
        return images
    partners = rng.integers(len(images), size=len(chosen))
    share = torch.from_numpy(rng.uniform(0, 1, (len(chosen), 1, 1, 1))).float()
    spectrum = torch.fft.rfft2(images[chosen])
    own, others = spectrum.abs(), torch.fft.rfft2(images[partners]).abs()
    mixed = own.lerp(others, share)
    mixed[..., 0, 0] = own[..., 0, 0]  # The mean colour is a matter of stain.
    spectrum = spectrum * (mixed / own.clamp_min(1e-3))
    return _replaced(images, chosen, torch.fft.irfft2(spectrum, s=images.shape[2:]))


def demosaic(images: Tensor, *, chance: float, rng: np.random.Generator) -> Tensor:
    """Some of `images` as a camera with one colour per pixel sees them, its mosaic interpolated bilinearly."""
    chosen = np.flatnonzero(rng.random(len(images)) < chance)
    if not len(chosen):
        return images
    height, width = images.shape[2:]
    rows, cols = torch.arange(height)[:, None] % 2, torch.arange(width)[None] % 2
    masks = torch.stack([(rows == 0) & (cols == 0), (rows + cols) % 2 == 1, (rows == 1) & (cols == 1)])
    kernels = torch.stack([_RED_BLUE, _GREEN, _RED_BLUE])[:, None]
    padded = F.pad(images[chosen] * masks, (2, 2, 2, 2), mode="reflect")[..., 1:-1, 1:-1]
    return _replaced(images, chosen, F.conv2d(padded, kernels, groups=3))


def _replaced(images: Tensor, chosen: npt.NDArray[np.intp], values: Tensor) -> Tensor:
    if not len(chosen):
        return images
    images = images.clone()
    images[chosen] = values.clamp_(0.0, 255.0)
    return images
