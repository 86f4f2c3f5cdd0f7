"""Coarse to fine: the whole tissue at a stride of 8, every second pixel only around what that makes look like a figure.

What it means, exactly. The grid is divided into cells of COARSE_STRIDE x COARSE_STRIDE px, and the classifier is asked
for the patch around each cell's top-left pixel. Where it says at least `gate`, the cells at most `reach` cells away
(so that the disk of every peak that the px may belong to lies within them) are scored at the scan's own stride. The map
has those values there and 0 elsewhere. So

- each value of the map is that of the full scan at that stride, or 0;
- a peak of the full scan with a coarse px of at least `gate` within its disk is found, with the same score;
- which cells are scored depends on the slide alone, not on tiles, batches or order.

What is lost are figures that no coarse px sees: `benchmarks.coarse_to_fine` counts them on labelled fields.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from models.registry import Model
from scanner.dense import densify
from scanner.errors import SettingsError
from scanner.inference.scorer import Scorer

#: Grid px between two coarse positions: the stride that the shipped models were measured at.
COARSE_STRIDE = 8
#: Where more than this share of a tile is to be scored, all of it is: one large box costs less than many small ones.
WHOLE_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class CoarseToFineScorer(Scorer):
    """A Scorer that scores a tile at COARSE_STRIDE first; `net` is the fine one."""

    coarse_net: nn.Module
    #: Probability from which a coarse px is looked at more closely.
    gate: float
    #: Cells around it that are scored.
    reach: int

    @property
    def margin(self) -> int:
        """Grid px beyond the patches of a tile that decide about the cells at its border."""
        return self.reach * COARSE_STRIDE

    @property
    def alignment(self) -> int:
        """Map px per cell: tiles begin at multiples of it."""
        return COARSE_STRIDE // self.stride

    @property
    def is_fixed(self) -> bool:
        """What is computed depends on what is seen."""
        return False

    @torch.inference_mode()
    def compute(self, pixels: Tensor) -> Tensor:
        """As Scorer's, for tiles read with the margin; 0 where nothing was looked at closely."""
        with self.arithmetic():
            images = self.normalise(pixels)  # (N, C, H, W)
            # (N, cell rows, cell cols) and `reach` more all around: the highest of the mapped classes.
            coarse = self.probability(self.coarse_net(images)).amax(dim=1)
            near = self._near(coarse >= self.gate).cpu().numpy()  # (N, cell rows, cell cols)
            inner = images[
                :, :, self.margin : images.shape[2] - self.margin, self.margin : images.shape[3] - self.margin
            ]
            fine = torch.stack([self._refine(image[None], cells) for image, cells in zip(inner, near, strict=True)])
            # To the gate a NaN is background: it must not vanish there.
            return fine.masked_fill(coarse.isnan().flatten(1).any(dim=1)[:, None, None, None], torch.nan)

    def without_gate(self) -> Scorer:
        """The full scan's scorer."""
        return Scorer(**{field.name: getattr(self, field.name) for field in fields(Scorer)})

    def coarse_only(self) -> Scorer:
        """The scorer of a full scan at COARSE_STRIDE."""
        return replace(self.without_gate(), net=self.coarse_net)

    def _near(self, is_hot: Tensor) -> Tensor:
        """Cells within reach of a hot one; those within `reach` of the border fall away."""
        side = 2 * self.reach + 1
        return F.max_pool2d(is_hot[:, None].float(), side, stride=1)[:, 0] > 0

    def _refine(self, image: Tensor, cells: npt.NDArray[np.bool_]) -> Tensor:
        """The fine maps of one tile, (K, rows, cols), within its cells: (1, C, H, W) without the margin."""
        patch, stride, side = self.card.patch_size, self.stride, self.alignment
        rows, cols = ((length - patch) // stride + 1 for length in image.shape[2:])
        values = torch.zeros((len(self.card.mapped), rows, cols), device=image.device)
        for top, left, bottom, right in _boxes(cells):
            top, left, bottom, right = top * side, left * side, min(bottom * side, rows), min(right * side, cols)
            part = image[
                :, :, top * stride : (bottom - 1) * stride + patch, left * stride : (right - 1) * stride + patch
            ]
            values[:, top:bottom, left:right] = self.probability(self.net(part))[0]
        wanted = torch.from_numpy(cells).to(image.device).repeat_interleave(side, 0).repeat_interleave(side, 1)
        # A box also covers cells that are not wanted; which ones depends on the tile.
        return torch.where(wanted[:rows, :cols], values, torch.zeros((), device=image.device))


def coarse_to_fine(scorer: Scorer, model: Model, *, gate: float, smoothing_px: float) -> CoarseToFineScorer:
    """`scorer`, made to score a tile coarsely first.

    Parameters
    ----------
    scorer : Scorer
        Of the full scan at the fine stride.
    model : Model
        Its classifier.
    gate : float
        Probability from which a coarse px is looked at more closely.
    smoothing_px : float
        Radius of the smoothing disk, in grid px.

    Raises
    ------
    SettingsError
        The stride does not divide COARSE_STRIDE, the network works patch by patch, or it segments.
    """
    if model.card.task == "segmentation":
        raise SettingsError(f"{model.card.name} gives the class of every position; pass another --stride than auto")
    if COARSE_STRIDE % scorer.stride:
        raise SettingsError(f"stride = {scorer.stride} is no part of {COARSE_STRIDE}; pass 1, 2, 4 or 8")
    coarse = copy.deepcopy(densify(model.net, model.card.patch_size, COARSE_STRIDE)).to(scorer.dtype)
    # A px within the disk of a peak, and all of that disk, and the peak's neighbours.
    reach = math.ceil((2 * smoothing_px + scorer.stride) / COARSE_STRIDE)
    known = {field.name: getattr(scorer, field.name) for field in fields(Scorer)}
    return CoarseToFineScorer(**known, coarse_net=coarse.to(scorer.device), gate=gate, reach=reach)


def _boxes(cells: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Half-open boxes (top, left, bottom, right) that cover the cells: one around each island, or one for all."""
    if not cells.any():
        return []
    if cells.mean() > WHOLE_SHARE:
        return [(0, 0, *cells.shape)]
    islands, _ = ndimage.label(cells)
    return [(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(islands)]
