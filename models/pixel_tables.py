"""8-bit pixels to network input: look-up tables, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from models.normalisation import Normalisation, NormalisationKind, StainStatistics
from models.optical_density import OPTICAL_DENSITY

#: Thousandths of red, green and blue in a pixel's luminance: whole numbers, so that grey stays what it is.
LUMINANCE = (299, 587, 114)


def normalisation_table(normalisation: Normalisation, statistics: StainStatistics | None = None) -> Tensor:
    """Network input for each 8-bit value of each channel.

    Parameters
    ----------
    normalisation : Normalisation
        The model's pixel contract.
    statistics : StainStatistics, optional
        The slide's stain. Without it, STAIN uses the reference in `normalisation`.

    Returns
    -------
    Tensor of shape (C, 256), float32
    """
    values = torch.arange(256, dtype=torch.float64)
    if normalisation.kind is NormalisationKind.AFFINE:
        source, mean, std = values / 255.0, normalisation.mean, normalisation.std
    else:
        reference = statistics or StainStatistics(normalisation.mean, normalisation.std)
        source, mean, std = torch.from_numpy(OPTICAL_DENSITY), reference.mean, reference.std
    rows = [(source - m) / s for m, s in zip(mean, std, strict=True)]
    return torch.stack(rows).to(torch.float32)  # (C, 256)


def grey_from_colour(images: Tensor) -> Tensor:
    """The luminance (Rec. 601, rounded) of 8-bit images, (..., C) -> (..., 1): of grey ones, the grey itself."""
    if images.shape[-1] == 1:
        return images
    weights = torch.tensor(LUMINANCE, dtype=torch.int32, device=images.device)
    return (
        ((images.to(torch.int32) * weights).sum(-1, keepdim=True) + 500)
        .div(1000, rounding_mode="floor")
        .to(images.dtype)
    )


def apply_table(images: Tensor, table: Tensor) -> Tensor:
    """Look 8-bit `images` up in `table`.

    Parameters
    ----------
    images : Tensor of shape (N, H, W, C), uint8
        As a slide is read: channels last. A table of one channel takes colour as well, by its luminance.
    table : Tensor of shape (C, 256), float32

    Returns
    -------
    Tensor of shape (N, C, H, W), float32, in channels-last memory
    """
    images = grey_from_colour(images) if table.shape[0] == 1 else images
    # One look-up in the joined rows of the table: a third of the time of one look-up per channel.
    first = torch.arange(table.shape[0], dtype=torch.int32, device=images.device) * table.shape[1]
    index = (images.to(torch.int32) + first).flatten()
    return table.flatten().index_select(0, index).view(images.shape).permute(0, 3, 1, 2)  # (N, C, H, W)
