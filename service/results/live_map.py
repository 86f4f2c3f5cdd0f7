"""A picture of a running scan's map, read from the worker's map store without disturbing the worker."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr
from PIL import Image

from scanner.exports.map_picture import colours_from_levels
from scanner.exports.ome_tiff import bytes_from_probabilities
from scanner.maps.unfinished import WORK_NAME
from service.results.results import NotFinishedError

#: Longest side of the picture.
MAX_SIDE = 1024  # px
#: Drawn over the part of the slide that has not been scanned. Red, green, blue, opacity.
VEIL = (30, 25, 35, 130)


class GrowingMap:
    """A reduced picture of a growing map. Each tile of the scan is a chunk, read once when it is complete."""

    def __init__(self, store: Path) -> None:
        self._array = cast(Any, zarr.open_array(str(store), mode="r"))
        self._chunks = store / "c"
        self._read: set[Path] = set()
        height, width = self._array.shape
        self._factor = max(1, -(-max(height, width) // MAX_SIDE))
        shape = -(-height // self._factor), -(-width // self._factor)
        self.levels: npt.NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self.is_scanned: npt.NDArray[np.bool_] = np.zeros(shape, np.bool_)

    def update(self) -> None:
        """Read the chunks that have been written since the last call."""
        for chunk in sorted(self._chunks.glob("*/*")):
            if chunk not in self._read and chunk.name.isdecimal():
                self._take(int(chunk.parent.name), int(chunk.name))
                self._read.add(chunk)

    def _take(self, chunk_row: int, chunk_col: int) -> None:
        chunk_height, chunk_width = self._array.chunks
        top, left = chunk_row * chunk_height, chunk_col * chunk_width
        values = bytes_from_probabilities(np.asarray(self._array[top : top + chunk_height, left : left + chunk_width]))
        rows, cols = (
            (np.arange(values.shape[0]) + top) // self._factor,
            (np.arange(values.shape[1]) + left) // self._factor,
        )
        # The maximum of each square: a mean would hide single figures.
        reduced = np.maximum.reduceat(values, np.flatnonzero(np.diff(rows, prepend=-1)), axis=0)
        reduced = np.maximum.reduceat(reduced, np.flatnonzero(np.diff(cols, prepend=-1)), axis=1)
        place = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
        np.maximum(self.levels[place], reduced, out=self.levels[place])
        self.is_scanned[place] = True


def growing_map_picture(work: Path) -> bytes:
    """The growing map in a running job's folder, as PNG; NotFinishedError before its first tile."""
    store = next(work.glob(f"{WORK_NAME}/map.zarr/zarr.json"), None)
    if store is None:
        raise NotFinishedError("the scan has not written any of its map yet")
    try:
        growing = _open(store.parent)
        growing.update()
    except FileNotFoundError as error:  # The scan has ended meanwhile.
        raise NotFinishedError("the scan has ended") from error
    picture = colours_from_levels(growing.levels)
    picture[~growing.is_scanned] = VEIL
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@lru_cache(maxsize=4)
def _open(store: Path) -> GrowingMap:
    return GrowingMap(store)
