"""MapStore: the probability map on disk while and after it is computed, in bounded memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec

from scanner.errors import OutputError
from scanner.geometry import Box, Frame

FloatMap = npt.NDArray[np.float32]


class MapStore:
    """A float32 map in a Zarr array, one chunk per tile, so that a tile is written whole or not at all."""

    def __init__(self, folder: Path, frame: Frame, chunk_side: int) -> None:
        self.folder = folder
        self.frame = frame
        try:
            self._array = zarr.create_array(
                store=str(folder),
                shape=(frame.map_height, frame.map_width),
                chunks=(min(chunk_side, frame.map_height), min(chunk_side, frame.map_width)),
                dtype="float32",
                fill_value=0.0,
                compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
                overwrite=True,
            )
        except OSError as error:
            raise OutputError(f"{folder}: {error}") from error

    def write(self, box: Box, values: FloatMap) -> None:
        """Store `values` at `box`, in map pixels."""
        try:
            self._array[box.slices()] = values
        except OSError as error:
            raise OutputError(f"{self.folder}: {error}") from error

    def read(self, box: Box) -> FloatMap:
        """The values in `box`, in map pixels; 0 where nothing was scanned."""
        return np.asarray(cast(Any, self._array[box.slices()]), dtype=np.float32)


class ProbabilityMap:
    """The map of a finished scan: one class's probability for every `frame.stride`-th grid pixel.

    `np.asarray(probability_map)` gives it as float32 (rows, cols); `read` gives a part of a map too large for that.
    The values live in a folder that is removed with the last reference to the map.
    """

    def __init__(self, store: MapStore, temporary: Path) -> None:
        self._store = store
        self._remove = weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)

    @property
    def frame(self) -> Frame:
        """Where the map lies on the slide."""
        return self._store.frame

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.frame.map_height, self.frame.map_width

    def read(self, box: Box) -> FloatMap:
        """The values in `box`, in map pixels."""
        return self._store.read(box)

    def close(self) -> None:
        """Remove the values from disk now."""
        self._remove()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole map."""
        return self.read(Box(0, 0, *self.shape)).astype(dtype or np.float32, copy=False)


def temporary_folder(beside: Path | None) -> Path:
    """A new folder for a map: hidden beside the results, or in the system's place for temporary files."""
    try:
        return Path(tempfile.mkdtemp(prefix=".mitoscan-map-", dir=beside))
    except OSError as error:
        raise OutputError(f"{beside or tempfile.gettempdir()}: {error}") from error
