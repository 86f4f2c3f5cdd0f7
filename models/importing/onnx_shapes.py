"""ONNX's operations that put values in another place: reshaping, cutting, padding, joining."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import ModelDamagedError
from models.importing.onnx_operation import Built, Operation
from models.importing.program import Ref


def _reshape(op: Operation) -> Built:
    if isinstance(op.optional(1), Ref):
        return (lambda x, shape: x.reshape(shape)), [op.x, op.inputs[1]]
    shape = op.numbers("shape", 1) or []
    if not isinstance(op.x, Ref):
        return (lambda x: x.reshape(shape)), [op.x]
    if len(shape) == 2 and (shape[0] in {0, 1} or shape == [-1, shape[1]]):
        return nn.Flatten(), [op.x]  # A file for one patch at a time is run on others.
    return (lambda x: x.reshape(tuple(x.size(i) if size == 0 else size for i, size in enumerate(shape)))), [op.x]


def _flatten(op: Operation) -> Built:
    if op.get("axis", 1) != 1:
        raise ModelDamagedError(f"{op.name}: flattening from axis {op.get('axis', 1)} is not known")
    return nn.Flatten(), [op.x]


def _slice(op: Operation) -> Built:
    bounds = [_bounds(op, name, index) for name, index in (("starts", 1), ("ends", 2))]
    count = next((len(bound) for bound in bounds if isinstance(bound, tuple)), 1)
    axes = op.numbers("axes", 3) or list(range(count))
    steps = op.numbers("steps", 4) or [1] * count

    def crop(x: Tensor, starts: Any, ends: Any) -> Tensor:
        index = [slice(None)] * (max(axes) + 1)
        for place, axis in enumerate(axes):
            index[axis] = slice(_entry(starts, place), _entry(ends, place), steps[place])
        return x[tuple(index)]

    return crop, [op.x, *bounds]


def _bounds(op: Operation, name: str, index: int) -> Any:
    """Where a part begins or ends: fixed, or a size that is computed from shapes."""
    value = op.optional(index)
    return value if isinstance(value, Ref) else tuple(op.numbers(name, index) or ())


def _entry(bound: Any, place: int) -> Any:
    return bound[place] if isinstance(bound, (tuple, list)) else bound


def _pad(op: Operation) -> Built:
    if op.optional(3) is not None:
        raise ModelDamagedError(f"{op.name}: pads of some axes alone; export them for all")
    pads, value = op.numbers("pads", 1) or [], op.optional(2)
    half = len(pads) // 2
    order = [amount for axis in reversed(range(half)) for amount in (pads[axis], pads[half + axis])]
    while len(order) > 2 and order[-2:] == [0, 0]:
        order = order[:-2]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[op.get("mode", "constant")]
    if mode != "constant":
        return (lambda x: F.pad(x, tuple(order), mode)), [op.x]
    fill = float(op.get("value", 0.0)) if value is None else float(op.fixed(2))
    return (lambda x: F.pad(x, tuple(order), "constant", fill)), [op.x]


def _gather(op: Operation) -> Built:
    index, axis = op.fixed(1), op.get("axis", 0)
    if isinstance(op.x, Ref):
        raise ModelDamagedError(f"{op.name}: picking single places of the image is not known")
    # An index of any shape takes the place of the axis.
    return (lambda x: x[(slice(None),) * (axis % x.dim()) + (index,)]), [op.x]


def _concatenate(op: Operation) -> Built:
    axis = op.attributes["axis"]
    return (lambda *found: torch.cat(found, dim=axis)), list(op.inputs)


def _unsqueeze(op: Operation) -> Built:
    axes = op.numbers("axes", 1) or []
    if len(axes) != 1:
        raise ModelDamagedError(f"{op.name}: only one axis can be added at a time")
    return (lambda x: x.unsqueeze(axes[0])), [op.x]


def _squeeze(op: Operation) -> Built:
    axes = op.numbers("axes", 1)
    if axes is None:
        raise ModelDamagedError(f"{op.name}: axes are missing")
    return (lambda x: x.squeeze(tuple(axes))), [op.x]


SHAPES: dict[str, Callable[[Operation], Built]] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Concat": _concatenate,
    "Slice": _slice,
    "Pad": _pad,
}
