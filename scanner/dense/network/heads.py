"""Networks with several outputs: their scores side by side within, each by its key outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scanner.errors import InexactLayerError

#: What a classifier returns, or its dense net: one tensor, or several by position or by name.
Scores = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


@dataclass(frozen=True)
class Heads:
    """The outputs of a classifier, in order."""

    #: Names of a dict's entries, or positions in a tuple or list; None for a single tensor.
    keys: tuple[str, ...] | tuple[int, ...] | None
    #: Scores per patch of each.
    channels: tuple[int, ...]

    @staticmethod
    def of(output: Any) -> Heads:
        """The heads of one answer, (N, classes) each; InexactLayerError if it is something else."""
        if isinstance(output, Tensor):
            return Heads(None, (_per_patch(output),))
        if isinstance(output, dict) and output:
            keys: tuple[Any, ...] = tuple(output)
        elif isinstance(output, (tuple, list)) and output:
            keys = tuple(range(len(output)))
        else:
            raise InexactLayerError("output", f"the classifier returns {type(output).__name__}, not tensors")
        parts = list(output.values()) if isinstance(output, dict) else list(output)
        if not all(isinstance(part, Tensor) for part in parts):
            raise InexactLayerError("output", "the classifier returns heads within heads; return a flat tuple or dict")
        return Heads(keys, tuple(_per_patch(part) for part in parts))

    def split(self, scores: Tensor) -> Scores:
        """(N, all channels, rows, cols) -> the structure that the classifier returns."""
        if self.keys is None:
            return scores
        parts = torch.split(scores, list(self.channels), dim=1)
        return dict(zip(self.keys, parts, strict=True)) if isinstance(self.keys[0], str) else tuple(parts)


def join_heads(scores: Tensor | Sequence[Tensor] | dict[Any, Tensor]) -> Tensor:
    """All heads side by side, along axis 1."""
    if isinstance(scores, Tensor):
        return scores
    return torch.cat(list(scores.values() if isinstance(scores, dict) else scores), dim=1)


def _per_patch(part: Tensor) -> int:
    return part[:1].numel()
