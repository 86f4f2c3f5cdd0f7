"""When the device has no memory for a tile: the tile in halves, of halves if need be, with the same scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from scanner.devices.device_queue import FloatMap, Lane, Pending, Pixels
from scanner.errors import DeviceMemoryError

#: What a device or a kernel raises that has run out of memory.
MEMORY_ERRORS = (torch.OutOfMemoryError, MemoryError)


class Room:
    """What fits through a lane: learnt from failures, so that no size fails twice."""

    def __init__(self, lane: Lane, *, seen: int, stride: int, alignment: int = 1) -> None:
        self._lane = lane
        #: Pixels a side that one output needs.
        self._seen = seen
        self._stride = stride
        #: Outputs of which a half is a multiple.
        self._alignment = alignment
        #: Outputs of one launch, over all its tiles, that are known to be too many.
        self.too_many = math.inf

    def launch(self, parts: Sequence[Pixels]) -> Pending:
        """As a lane's: tiles of one shape, (h, w, 3) each; none at all have no scores."""
        if not parts:
            return Ready(np.empty((0, 0, 0, 0), np.float32))
        if self._outputs(parts) >= self.too_many and self._can_be_halved(parts):
            return _InHalves(self, parts)
        try:
            return _Attempt(self, parts, self._lane.launch(parts))
        except MEMORY_ERRORS as error:
            self.refuse(parts, error)
            return _InHalves(self, parts)

    def score(self, parts: Sequence[Pixels]) -> FloatMap:
        """The scores of tiles of one shape, (N, K, rows, cols), in as many launches as it takes."""
        if self._outputs(parts) < self.too_many or not self._can_be_halved(parts):
            return self.launch(parts).result()
        if len(parts) > 1:
            half = len(parts) // 2
            return np.concatenate([self.score(parts[:half]), self.score(parts[half:])])
        rows, cols = self.size(parts)
        axis = 0 if rows >= cols else 1
        before, after = self._halves(parts[0], axis)
        return np.concatenate([self.score([before]), self.score([after])], axis=axis - 2)

    def refuse(self, parts: Sequence[Pixels], error: BaseException) -> None:
        """Remember that these were too many.

        Raises
        ------
        DeviceMemoryError
            They cannot be halved any more.
        """
        self.too_many = min(self.too_many, self._outputs(parts))
        if not self._can_be_halved(parts):
            height, width = parts[0].shape[:2]
            raise DeviceMemoryError(
                f"the device has no memory for {height} x {width} px; free some of it, or pass --device cpu"
            ) from error
        self._lane.relieve()

    def _halves(self, pixels: Pixels, axis: int) -> tuple[Pixels, Pixels]:
        """The pixels that the first half of the outputs needs, and those of the second."""
        half = self.size([pixels])[axis] // 2
        first = half - half % self._alignment
        stop, start = (first - 1) * self._stride + self._seen, first * self._stride
        if axis == 0:
            return pixels[:stop], pixels[start:]
        return pixels[:, :stop], pixels[:, start:]

    def size(self, parts: Sequence[Pixels]) -> tuple[int, int]:
        """Outputs of each of these tiles, rows and columns."""
        rows, cols = ((length - self._seen) // self._stride + 1 for length in parts[0].shape[:2])
        return rows, cols

    def _can_be_halved(self, parts: Sequence[Pixels]) -> bool:
        return len(parts) > 1 or max(self.size(parts)) >= 2 * self._alignment

    def _outputs(self, parts: Sequence[Pixels]) -> int:
        return len(parts) * math.prod(self.size(parts))


class Ready:
    """Scores that are there."""

    def __init__(self, values: FloatMap) -> None:
        self._values = values

    def result(self) -> FloatMap:
        """They."""
        return self._values


class _Attempt:
    """A launch that may turn out to have been too large."""

    def __init__(self, room: Room, parts: Sequence[Pixels], pending: Pending) -> None:
        self._room, self._parts, self._pending = room, parts, pending

    def result(self) -> FloatMap:
        try:
            return self._pending.result()
        except MEMORY_ERRORS as error:
            self._room.refuse(self._parts, error)
            return self._room.score(self._parts)


class _InHalves:
    """Tiles that do not fit as they are."""

    def __init__(self, room: Room, parts: Sequence[Pixels]) -> None:
        self._room, self._parts = room, parts

    def result(self) -> FloatMap:
        return self._room.score(self._parts)
