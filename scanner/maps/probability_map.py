"""ProbabilityMap: the map of a finished scan, read in parts, for as long as somebody holds it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.files.atomic import remove
from scanner.files.locks import Lock
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box, Frame
from scanner.maps.store import MapStore


class ProbabilityMap:
    """The map of a finished scan: the target's probability for every `frame.stride`-th grid pixel.

    `np.asarray(probability_map)` gives it as float32 (rows, cols); `read` gives a part of a map too large for that.
    A model that maps several classes has a layer for each: (layers, rows, cols), the target's first.
    The values live in a folder of their own, until `close`. Those of a result, whose files are complete and on disk, go
    with the map itself as well: nothing is lost with them.
    """

    def __init__(self, store: MapStore) -> None:
        self._store = store
        self._end: Callable[[], object] | None = None
        #: Told of each box before it is read: all stages after the network read the map, and can be watched here.
        self.on_read: Callable[[Box], None] | None = None

    @property
    def frame(self) -> Frame:
        """Where the map lies on the slide."""
        return self._store.frame

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.frame.map_height, self.frame.map_width

    @property
    def layers(self) -> int:
        """How many classes are mapped."""
        return self._store.layers

    def read(self, box: Box, layer: int = 0) -> FloatMap:
        """The values in `box`, in map pixels: of the target, or of another layer."""
        if self.on_read is not None:
            self.on_read(box)
        return self._store.read(box, layer)

    def read_layers(self, box: Box) -> FloatMap:
        """The values of all layers in `box`: (layers, h, w)."""
        return np.stack([self.read(box, layer) for layer in range(self.layers)])

    def read_highest(self, box: Box) -> FloatMap:
        """The highest of all layers in `box`: what a picture of a map of several classes shows."""
        return self.read(box) if self.layers == 1 else self.read_layers(box).max(axis=0)

    def settle(self, folder: Path, lock: Lock) -> None:
        """Live in `folder` from now on, which belongs to this map as long as the lock is held."""
        self.on_read = None
        self._store, self._end = self._store.at(folder), weakref.finalize(self, _end_of_map, folder, lock)

    def close(self) -> None:
        """Remove the values from disk."""
        if self._end is None:
            remove(self._store.folder)
        else:
            self._end()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole map."""
        values = self.read_layers(Box(0, 0, *self.shape)).astype(dtype or np.float32, copy=False)
        return values[0] if self.layers == 1 else values


def _end_of_map(folder: Path, lock: Lock) -> None:
    remove(folder)
    lock.release()
