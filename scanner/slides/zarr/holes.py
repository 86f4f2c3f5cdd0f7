"""Which pixels of a Zarr array are in no chunk: Zarr shows its fill value there, as if it had been written.

Writers leave out chunks that hold nothing but the fill value, and copies lose chunks. Neither is told from the pixels,
so the array is read once more with another fill value, but only where a whole chunk holds nothing else: what differs
then is not there. That holds for every store, format and codec, and within shards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

#: One axis of the place that is read of an array.
Place = int | slice


def with_other_fill(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The same array, but for the value that stands for what is in no chunk."""
    other: Any = np.asarray(fill_value(array) ^ 1).astype(array.dtype)[()]
    metadata: Any = replace(array.metadata, fill_value=other)
    return zarr.Array(zarr.AsyncArray(metadata, array.store_path, array.async_array.config))


def fill_value(array: zarr.Array[Any]) -> int:
    """Of an array of whole numbers; 0 where it states none."""
    return int(array.metadata.fill_value or 0)


def may_have_holes(values: npt.NDArray[Any], place: tuple[Place, ...], array: zarr.Array[Any]) -> bool:
    """Whether any chunk's part of what was read at `place` holds nothing but the fill value."""
    is_fill = values == fill_value(array)
    if not is_fill.any():
        return False
    ranges = [(span, chunk) for span, chunk in zip(place, array.chunks, strict=True) if isinstance(span, slice)]
    for axis, (span, chunk) in enumerate(ranges):
        first = span.start or 0
        inner = np.arange(-(-(first + 1) // chunk) * chunk, first + values.shape[axis], chunk) - first
        is_fill = np.logical_and.reduceat(is_fill, [0, *inner.tolist()], axis=axis)
    return bool(is_fill.any())
