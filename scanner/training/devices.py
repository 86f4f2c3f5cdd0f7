"""What cameras and scanners do to a picture after the stain: tone, uneven light, sharpness, mosaics of colour.

Each function takes grey levels (N, 3, H, W), float32, 0 to 255. A share of the crops is seen by another device, so that
a network cannot tell a figure by the device that saw it; the rest stays as it was scanned.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from scanner.training.augment import blur_or_sharpen
from scanner.training.recipe import Augmentation

#: Of the light across a crop and of its mean: standard deviations of the factor's log.
SLOPE, LIGHT = 0.04, 0.06
#: Share of these crops that are blurred or sharpened.
REFOCUSED = 0.5
#: Weights of the eight neighbours by which a missing colour of a mosaic is interpolated: green, then red and blue.
_GREEN = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]) / 4
_RED_BLUE = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 4


def see_by_device(images: Tensor, settings: Augmentation, rng: np.random.Generator) -> Tensor:
    """Some of the crops as other devices would have seen them."""
    chosen = np.flatnonzero(rng.random(len(images)) < settings.device)
    if not len(chosen):
        return images
    seen = change_tone(images[chosen], spread=settings.tone, rng=rng)
    seen = mix_amplitudes(shade(seen, rng=rng), chance=settings.amplitudes, rng=rng)
    seen = demosaic(seen, chance=settings.mosaic, rng=rng)
    seen = blur_or_sharpen(seen, chance=REFOCUSED, sharpen=settings.sharpen, fringe=settings.fringe, rng=rng)
    return _replaced(images, chosen, seen)


def change_tone(images: Tensor, *, spread: float, rng: np.random.Generator) -> Tensor:
    """`images` with another gamma, whose log has this standard deviation."""
    gamma = torch.from_numpy(np.exp(rng.normal(0, spread, len(images)))).float()
    return (images / 255).clamp_min(1e-3) ** gamma[:, None, None, None] * 255


def shade(images: Tensor, *, rng: np.random.Generator) -> Tensor:
    """`images` under more or less light than their slide, which also rises to one side."""
    down, across, light = torch.from_numpy(rng.normal(0, 1, (3, len(images), 1, 1, 1))).float()
    ramp = torch.linspace(-1, 1, images.shape[2])
    factor = torch.exp(LIGHT * light + SLOPE * (down * ramp[:, None] + across * ramp))
    return (images * factor).clamp_(0.0, 255.0)


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
