"""Functions of single values that give a value the same bits wherever it lies in a tensor.

torch computes some functions (sigmoid and softmax among them) by one program in whole vectors and by another in what is
left at the end of each thread's share, and the two differ in the last bit: the bits then depend on how many threads
there are. Its exp, additions and divisions do not, and these are made of nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), of each value."""
    return 1 / (1 + torch.exp(-x))


def softmax(x: Tensor, dim: int) -> Tensor:
    """Shares of exp(x) along an axis, added up in its order."""
    parts = torch.exp(x - x.amax(dim=dim, keepdim=True))
    total = parts.narrow(dim, 0, 1)
    for index in range(1, parts.shape[dim]):
        total = total + parts.narrow(dim, index, 1)
    return parts / total
