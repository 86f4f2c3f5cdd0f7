"""A certificate that a dense net says of every patch what its classifier says: measured, not claimed.

Compared are whole outputs on small images that ask for trouble: noise, flat colour (every max-pooling a tie), blocks
(ties inside windows), black and white stripes (saturated units), and a ramp; in every form, on whole images and cut
into tiles.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.normalisation import apply_table, normalisation_table
from models.registry import Model
from scanner.dense.dense_net import Form, densify
from scanner.dense.patchwise import score_patches

#: Largest difference allowed, relative to 1 + the largest score: rounding of sums taken in another order.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
#: Scored positions beyond the first, along each axis, at every stride.
MORE_POSITIONS = 5
STRIDES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Comparison:
    """One image, scored both ways."""

    image: str
    dtype: str
    form: str
    stride: int
    #: Patches compared.
    positions: int
    #: Largest absolute difference of a score.
    difference: float
    #: What was allowed.
    tolerance: float

    @property
    def is_exact(self) -> bool:
        """True if the difference is rounding."""
        return self.difference <= self.tolerance


def certify(model: Model) -> list[Comparison]:
    """Compare the dense nets of a model with its classifier, patch by patch.

    Parameters
    ----------
    model : Model

    Returns
    -------
    list of Comparison
        Every image in every type, form and stride.

    Raises
    ------
    InexactLayerError
        The classifier cannot be made dense exactly.
    """
    table = normalisation_table(model.card.normalisation)
    comparisons = []
    for dtype, stride in itertools.product(TOLERANCES, STRIDES):
        net = copy.deepcopy(model.net).to(dtype)
        side = model.card.patch_size + stride * MORE_POSITIONS
        for name, make in IMAGES.items():
            image = apply_table(make(side, table.shape[0])[None], table).to(dtype)
            comparisons += _compare(net, image, name=name, patch_size=model.card.patch_size, stride=stride)
    return comparisons


@torch.inference_mode()
def _compare(net: nn.Module, image: Tensor, *, name: str, patch_size: int, stride: int) -> list[Comparison]:
    expected = score_patches(net, image, patch_size, stride)
    tolerance = TOLERANCES[image.dtype] * (1 + float(expected.abs().max()))
    positions = expected[0, 0].numel()
    results = []
    for form in (Form.DILATION, Form.FRAGMENTS, Form.AUTO):
        dense = densify(net, patch_size, stride, form=form)
        # The second tile begins in the middle: what a tile shows must not depend on where it begins.
        start = stride * (MORE_POSITIONS // 2)
        tile = dense(image[:, :, start:, start:])
        offset = MORE_POSITIONS // 2
        difference = max(
            float((dense(image) - expected).abs().max()),
            float((tile - expected[:, :, offset:, offset:]).abs().max()),
        )
        dtype = str(image.dtype).removeprefix("torch.")
        results.append(Comparison(name, dtype, str(form), stride, positions, difference, tolerance))
    return results


def describe_certificate(model: Model, comparisons: list[Comparison]) -> dict[str, Any]:
    """The certificate as JSON: what was compared, the largest differences, and what it holds for."""
    worst = {
        dtype: max(c.difference for c in comparisons if c.dtype == dtype) for dtype in {c.dtype for c in comparisons}
    }
    return {
        "model": {"name": model.card.name, "version": model.card.version, "sha256": model.card.sha256},
        "is_exact": all(comparison.is_exact for comparison in comparisons),
        "positions": sum(comparison.positions for comparison in comparisons),
        "max_difference": dict(sorted(worst.items())),
        "layers": [name for name, _ in model.net.named_modules() if name],
        "torch": torch.__version__,
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }


def _noise(side: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (side, side, channels), generator=generator, dtype=torch.uint8)


def _flat(side: int, channels: int) -> Tensor:
    return torch.full((side, side, channels), 200, dtype=torch.uint8)


def _blocks(side: int, channels: int) -> Tensor:
    """4 x 4 pixels of one colour: most windows of a pooling hold equal values."""
    coarse = _noise(-(-side // 4), channels)
    return coarse.repeat_interleave(4, dim=0).repeat_interleave(4, dim=1)[:side, :side]


def _stripes(side: int, channels: int) -> Tensor:
    rows = torch.arange(side) // 3 % 2 * 255
    return rows.to(torch.uint8)[:, None, None].expand(side, side, channels).contiguous()


def _ramp(side: int, channels: int) -> Tensor:
    index = torch.arange(side)
    return ((index[:, None] * 3 + index[None, :]) % 256).to(torch.uint8)[..., None].repeat(1, 1, channels)


IMAGES: dict[str, Callable[[int, int], Tensor]] = {
    "noise": _noise,
    "flat": _flat,
    "blocks": _blocks,
    "stripes": _stripes,
    "ramp": _ramp,
}
