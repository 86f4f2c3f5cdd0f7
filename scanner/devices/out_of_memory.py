"""When the device has no memory for a tile: the tile in halves, of halves if need be, with the same scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from scanner.devices.blank import colour_of
from scanner.devices.device_queue import Deferred, DeviceQueue, Pending, Pixels
from scanner.errors import DeviceMemoryError
from scanner.geometry.arrays import FloatMap

#: What a device or a kernel raises that has run out of memory.
MEMORY_ERRORS = (torch.OutOfMemoryError, MemoryError)


class TileSplitter:
    """Scores tiles by a device's queue, in parts where they do not fit; no size fails twice.

    Tiles of one colour, as scanners leave where there is nothing, do not go through the network as a whole: one patch
    of each colour does, for all of its patches are the same.
    """

    def __init__(self, queue: DeviceQueue, *, context_px: int, stride: int, alignment: int = 1) -> None:
        self._queue = queue
        #: Pixels a side that one output needs.
        self._context_px = context_px
        self._stride = stride
        #: Outputs of which a half is a multiple.
        self._alignment = alignment
        #: Outputs of one launch, over all its tiles, that are known to be too many.
        self.too_many = math.inf
        #: The score of each mapped class, (K, 1, 1), by the colour of a blank patch.
        self._blank_scores: dict[tuple[int, ...], FloatMap] = {}

    def launch(self, parts: Sequence[Pixels]) -> Pending:
        """As a queue's: tiles of one shape, (h, w, 3) each; none at all have no scores."""
        if not parts:
            return Deferred(lambda: np.empty((0, 0, 0, 0), np.float32))
        if all(colour_of(pixels) is not None for pixels in parts):
            return Deferred(lambda: self._score_blank(parts))
        return self._launch(parts)

    def _launch(self, parts: Sequence[Pixels]) -> Pending:
        if self._outputs(parts) >= self.too_many and self._can_be_halved(parts):
            return Deferred(lambda: self._score(parts))
        try:
            pending = self._queue.launch(parts)
        except MEMORY_ERRORS as error:
            self._refuse(parts, error)
            return Deferred(lambda: self._score(parts))
        return Deferred(lambda: self._wait(parts, pending))

    def _wait(self, parts: Sequence[Pixels], pending: Pending) -> FloatMap:
        """The scores of a launch that may turn out to have been too large."""
        try:
            return pending.result()
        except MEMORY_ERRORS as error:
            self._refuse(parts, error)
            return self._score(parts)

    def _score(self, parts: Sequence[Pixels]) -> FloatMap:
        """The scores of tiles of one shape, (N, K, rows, cols), in as many launches as it takes."""
        if self._outputs(parts) < self.too_many or not self._can_be_halved(parts):
            return self._launch(parts).result()
        if len(parts) > 1:
            half = len(parts) // 2
            return np.concatenate([self._score(parts[:half]), self._score(parts[half:])])
        rows, cols = self._size(parts)
        axis = 0 if rows >= cols else 1
        before, after = self._halves(parts[0], axis)
        return np.concatenate([self._score([before]), self._score([after])], axis=axis - 2)

    def _score_blank(self, parts: Sequence[Pixels]) -> FloatMap:
        """The scores of tiles that are of one colour each."""
        rows, cols = self._size(parts)
        return np.stack([self._blank_score(pixels).repeat(rows, axis=1).repeat(cols, axis=2) for pixels in parts])

    def _blank_score(self, pixels: Pixels) -> FloatMap:
        colour = tuple(pixels[0, 0].tolist())
        if colour not in self._blank_scores:
            self._blank_scores[colour] = self._score([pixels[: self._context_px, : self._context_px]])[0]
        return self._blank_scores[colour]

    def _refuse(self, parts: Sequence[Pixels], error: BaseException) -> None:
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
        self._queue.free_memory()

    def _halves(self, pixels: Pixels, axis: int) -> tuple[Pixels, Pixels]:
        """The pixels that the first half of the outputs needs, and those of the second."""
        half = self._size([pixels])[axis] // 2
        first = half - half % self._alignment
        stop, start = (first - 1) * self._stride + self._context_px, first * self._stride
        if axis == 0:
            return pixels[:stop], pixels[start:]
        return pixels[:, :stop], pixels[:, start:]

    def _size(self, parts: Sequence[Pixels]) -> tuple[int, int]:
        """Outputs of each of these tiles, rows and columns."""
        rows, cols = ((length - self._context_px) // self._stride + 1 for length in parts[0].shape[:2])
        return rows, cols

    def _can_be_halved(self, parts: Sequence[Pixels]) -> bool:
        return len(parts) > 1 or max(self._size(parts)) >= 2 * self._alignment

    def _outputs(self, parts: Sequence[Pixels]) -> int:
        return len(parts) * math.prod(self._size(parts))
