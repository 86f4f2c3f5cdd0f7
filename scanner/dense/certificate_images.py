"""Small images that ask a dense net for trouble: what a certificate is measured on.

Noise; the slide's border, mirrored; flat colour (every max-pooling a tie), blocks (ties inside windows), black and
white stripes (saturated units), a ramp.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _noise(side: int, channels: int, _margin: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (side, side, channels), generator=generator, dtype=torch.uint8)


def _border(side: int, channels: int, margin: int) -> Tensor:
    """The slide's top left corner, as a scan sees it: mirrored, the edge not repeated."""
    inner = _noise(max(side - margin, margin + 1), channels).permute(2, 0, 1)[None].float()
    mirrored = F.pad(inner, (margin, 0, margin, 0), mode="reflect")[0].permute(1, 2, 0)
    return mirrored[:side, :side].to(torch.uint8)


def _flat(side: int, channels: int, _margin: int) -> Tensor:
    return torch.full((side, side, channels), 200, dtype=torch.uint8)


def _blocks(side: int, channels: int, _margin: int) -> Tensor:
    """4 x 4 pixels of one colour: most windows of a pooling hold equal values."""
    coarse = _noise(-(-side // 4), channels)
    return coarse.repeat_interleave(4, dim=0).repeat_interleave(4, dim=1)[:side, :side]


def _stripes(side: int, channels: int, _margin: int) -> Tensor:
    rows = torch.arange(side) // 3 % 2 * 255
    return rows.to(torch.uint8)[:, None, None].expand(side, side, channels).contiguous()


def _ramp(side: int, channels: int, _margin: int) -> Tensor:
    index = torch.arange(side)
    return ((index[:, None] * 3 + index[None, :]) % 256).to(torch.uint8)[..., None].repeat(1, 1, channels)


#: Kind of the positions in each image, and the image: side, channels and half a patch -> (side, side, channels).
IMAGES: dict[str, tuple[str, Callable[[int, int, int], Tensor]]] = {
    "noise": ("random", _noise),
    "border": ("border", _border),
    "flat": ("adversarial", _flat),
    "blocks": ("adversarial", _blocks),
    "stripes": ("adversarial", _stripes),
    "ramp": ("adversarial", _ramp),
}
