"""The last guard at every conversion: a few patches, scored both ways, against code that torch.fx cannot see."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from scanner.dense.conversion.patchwise import score_patches
from scanner.dense.network.heads import join_heads
from scanner.dense.network.plan import shape_of_patch
from scanner.dense.network.probe import image_channels
from scanner.errors import InexactLayerError, NonFiniteScoreError

#: Largest difference from the classifier itself that is let pass, by type, relative to the largest score.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
#: Scores smaller than this are compared with this.
_SMALLEST = 1e-6


@torch.no_grad()
def check_conversion(net: nn.Module, shared: Any) -> None:
    """Compare a dense net, or one by zones, with its classifier.

    Raises
    ------
    InexactLayerError
        They differ by more than rounding.
    NonFiniteScoreError
        The classifier's own scores are NaN or infinite.
    """
    weight = next(iter(shared.parameters()), None)
    if weight is None or weight.dtype not in _TOLERANCE:
        return
    shape = shape_of_patch(shared.patch_size)
    size = (1, image_channels(net, shape), *(length + shared.stride for length in shape))
    image = torch.rand(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image = image.to(device=weight.device, dtype=weight.dtype) * 2 - 1
    expected = join_heads(score_patches(net, image, shared.patch_size, shared.stride))
    if not expected.isfinite().all():
        raise NonFiniteScoreError(f"{type(net).__name__}: scores of noise are not finite; the weights are at fault")
    scale = max(float(expected.abs().max()), _SMALLEST)
    difference = float((join_heads(shared(image)) - expected).abs().max()) / scale
    if not difference <= _TOLERANCE[weight.dtype]:
        raise InexactLayerError(type(net).__name__, f"what is shared differs from the classifier by {difference:.1e}")
