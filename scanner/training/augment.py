"""Augmentation of crops after they are cut: stain, blur, noise, JPEG; and the normalisation a scan would have used.

A crop's stain is changed by one linear map of optical density, and the statistics it is normalised by are changed by
the same map: what a slide of that stain would have measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.optical_density import OPTICAL_DENSITY
from scanner.training.recipe import Augmentation
from scanner.training.stain import Array, Stain, exchange_matrix

#: Standard deviations of a blur in pixels at the recipe's mpp; and of noise in grey levels.
BLUR_PX = (0.4, 1.3)
NOISE_LEVELS = (1.0, 7.0)

#: Most that an unsharp mask adds, as scanners do.
SHARPEN = 0.8

#: Optical density of each 8-bit value, as the network sees it.
_DENSITIES = OPTICAL_DENSITY.astype(np.float32)


@dataclass(frozen=True)
class StainChange:
    """od -> matrix @ od + shift, and the statistics by which the result is normalised."""

    matrix: Array  # (3, 3)
    shift: Array  # (3,)
    mean: Array  # (3,)
    std: Array  # (3,)


def draw_stain_change(
    measured: Stain, target: Stain | None, settings: Augmentation, rng: np.random.Generator
) -> StainChange:
    """A random change of stain: towards that of `target`, if any, then mixed and shifted a little."""
    matrix, shift = np.eye(3), np.zeros(3)
    if target is not None:
        matrix = exchange_matrix(measured, target)
        shift = target.mean - matrix @ measured.mean
    mixing = np.eye(3) + rng.normal(0, settings.mixing, (3, 3))
    matrix, shift = mixing @ matrix, mixing @ shift + rng.normal(0, settings.shift, 3) * measured.std
    std = np.sqrt(np.diagonal(matrix @ measured.covariance @ matrix.T))
    mean = matrix @ measured.mean + shift
    return StainChange(
        matrix,
        shift,
        mean + rng.normal(0, settings.statistics, 3) * std,
        std * np.exp(rng.normal(0, settings.statistics, 3)),
    )


def change_stain(images: Tensor, changes: list[StainChange]) -> Tensor:
    """Grey levels (N, 3, H, W) after the changes of stain, float32, 0 to 255."""
    matrix = _stack([change.matrix for change in changes])
    shift = _stack([change.shift for change in changes])
    density = torch.log2((images + 1.0) / 256.0)  # Up to sign and base, which a linear map does not mind.
    density = torch.einsum("nij,njhw->nihw", matrix, density) - (shift / np.log10(2))[..., None, None]
    return torch.exp2(density).mul_(256.0).sub_(1.0).clamp_(0.0, 255.0)


def coarsen(images: Tensor, settings: Augmentation, *, rng: np.random.Generator) -> Tensor:
    """Some of `images` as a scanner of fewer pixels per micrometre shows them, resampled to the same size."""
    chosen = np.flatnonzero(rng.random(len(images)) < settings.coarse)
    if not len(chosen):
        return images
    size = images.shape[2]
    coarse_size = round(size / rng.uniform(1.0, settings.coarsest))
    coarse = F.interpolate(images[chosen], (coarse_size, coarse_size), mode="bilinear", antialias=True)
    images = images.clone()
    images[chosen] = F.interpolate(coarse, (size, size), mode="bilinear").clamp_(0.0, 255.0)
    return images


def blur_or_sharpen(
    images: Tensor, *, chance: float, rng: np.random.Generator, sharpen: float = SHARPEN, fringe: float = 0.0
) -> Tensor:
    """Some of `images` blurred by a Gaussian, some of those sharpened by it instead.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W)
        Grey levels.
    chance : float
    rng : Generator
    sharpen : float
        Most that an unsharp mask adds.
    fringe : float
        Standard deviation in pixels of what each colour of a blurred image is shifted by.
    """
    chosen = np.flatnonzero(rng.random(len(images)) < chance)
    if not len(chosen):
        return images
    taps = torch.arange(-3, 4, dtype=torch.float32)
    sigma = torch.from_numpy(rng.uniform(*BLUR_PX, len(chosen))).float()
    amount = np.where(rng.random(len(chosen)) < 0.3, -rng.uniform(0, sharpen, len(chosen)), 1.0)
    shifts = fringe * (amount > 0)[:, None] * rng.normal(size=(2, len(chosen), images.shape[1]))
    centres = torch.from_numpy(shifts).float()[..., None]  # (2, n, C, 1)
    kernels = torch.exp(-((taps - centres) ** 2) / (2 * sigma[:, None, None] ** 2)).flatten(1, 2)  # (2, n * C, 7)
    down, across = kernels / kernels.sum(2, keepdim=True)
    flat = F.pad(images[chosen].flatten(0, 1)[None], (3, 3, 3, 3), mode="reflect")  # (1, n * C, H + 6, W + 6)
    flat = F.conv2d(flat, down[:, None, :, None], groups=len(down))
    flat = F.conv2d(flat, across[:, None, None, :], groups=len(across))
    blurred = flat[0].reshape(len(chosen), *images.shape[1:])
    images = images.clone()
    images[chosen] += torch.from_numpy(amount).float()[:, None, None, None] * (blurred - images[chosen])
    return images.clamp_(0.0, 255.0)


def add_noise(images: Tensor, *, chance: float, rng: np.random.Generator) -> Tensor:
    """Some of `images` with Gaussian noise of a random strength."""
    chosen = np.flatnonzero(rng.random(len(images)) < chance)
    images = images.clone()
    for index in chosen:
        noise = torch.from_numpy(rng.standard_normal(images.shape[1:], dtype=np.float32))
        images[index] += float(rng.uniform(*NOISE_LEVELS)) * noise
    return images


def to_bytes(images: Tensor) -> npt.NDArray[np.uint8]:
    """Grey levels (N, 3, H, W) as uint8 (N, H, W, 3)."""
    return images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def compress(
    images: npt.NDArray[np.uint8], settings: Augmentation, *, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Some of `images` (N, H, W, 3) after a JPEG of random quality and chroma sampling."""
    import imagecodecs

    images = images.copy()
    once = np.flatnonzero(rng.random(len(images)) < settings.jpeg)
    for index in (*once, *once[rng.random(len(once)) < settings.jpeg_twice]):
        quality = int(rng.integers(settings.jpeg_quality[0], settings.jpeg_quality[1] + 1))
        subsampling = str(rng.choice(["444", "422", "420"]))
        code = imagecodecs.jpeg8_encode(images[index], level=quality, subsampling=subsampling)
        images[index] = imagecodecs.jpeg8_decode(code)
    return images


def normalise(images: npt.NDArray[np.uint8], changes: list[StainChange]) -> Tensor:
    """Network input (N, 3, H, W): optical density by each crop's own statistics, channels-last memory."""
    density = torch.from_numpy(_DENSITIES[images])  # (N, H, W, 3)
    mean = _stack([change.mean for change in changes])[:, None, None]
    std = _stack([change.std for change in changes])[:, None, None]
    return ((density - mean) / std).permute(0, 3, 1, 2)


def _stack(arrays: list[Array]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).float()
