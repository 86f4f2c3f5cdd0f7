"""A committee: several columns averaged as one classifier (MCDNN: Ciresan, Meier, Schmidhuber, CVPR 2012)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Committee(nn.Module):
    """The mean probability of its columns, as log-probabilities: (N, C, P, P) -> (N, classes).

    Columns may have smaller patches than the committee: each looks at the centre of the patch.
    """

    def __init__(self, columns: Sequence[nn.Module], patch_sizes: Sequence[int]) -> None:
        super().__init__()
        self.columns = nn.ModuleList(columns)
        self.patch_size = max(patch_sizes)
        #: Rows and columns cut before each column, so that all patches share their centre P // 2.
        self.crops = [self.patch_size // 2 - size // 2 for size in patch_sizes]
        self.sizes = list(patch_sizes)

    def forward(self, patches: Tensor) -> Tensor:
        """Log of the averaged class probabilities."""
        total = None
        for column, crop, size in zip(self.columns, self.crops, self.sizes, strict=True):
            logits = column(patches[:, :, crop : crop + size, crop : crop + size])
            probabilities = torch.softmax(logits, dim=1)
            total = probabilities if total is None else total + probabilities
        assert total is not None
        return torch.log(total / len(self.sizes))
