"""Sizes that an ONNX file computes from its values' shapes: plain integers and tuples of them, while the network runs.

Exporters write a crop or a reshape as arithmetic on shapes. For one patch size all of it is constant but the number of
patches.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from models.errors import ModelDamagedError
from models.importing.onnx_operation import Built, Operation


def _plain(value: Any) -> Any:
    """A tensor of the file as an integer or a tuple of them."""
    if not isinstance(value, Tensor):
        return value
    return int(value) if value.dim() == 0 else tuple(int(size) for size in value)


def as_tuple(part: Any) -> Any:
    """A size as a tuple of one; a tuple as it is."""
    return part if isinstance(part, (tuple, list)) else (part,)


def _gather(op: Operation) -> Built:
    index = _plain(op.fixed(1))
    if isinstance(index, int):
        return (lambda sizes: sizes[index]), [op.x]
    return (lambda sizes: tuple(sizes[i] for i in index)), [op.x]


def _slice(op: Operation) -> Built:
    starts, ends, steps = (op.numbers(name, i) for name, i in (("starts", 1), ("ends", 2), ("steps", 4)))
    if starts is None or ends is None:
        raise ModelDamagedError(f"{op.name}: a part of a shape between places that are computed")
    part = slice(starts[0], ends[0], steps[0] if steps else 1)
    return (lambda sizes: sizes[part]), [op.x]


def _concatenate(op: Operation) -> Built:
    return (lambda *parts: tuple(size for part in parts for size in as_tuple(part))), [_plain(i) for i in op.inputs]


def _arithmetic(function: Callable[[int, int], int]) -> Callable[[Operation], Built]:
    def build(op: Operation) -> Built:
        # A shape of one entry and a number are the same thing here.
        values = [_plain(value) for value in op.inputs]
        return function, [value[0] if isinstance(value, tuple) and len(value) == 1 else value for value in values]

    return build


SIZE_OPERATIONS: dict[str, Callable[[Operation], Built]] = {
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concatenate,
    **dict.fromkeys(("Unsqueeze", "Squeeze", "Cast", "Identity", "Floor"), lambda op: (nn.Identity(), [op.x])),
    "Add": _arithmetic(operator.add),
    "Sub": _arithmetic(operator.sub),
    "Mul": _arithmetic(operator.mul),
    "Div": _arithmetic(operator.floordiv),
}
