"""MapStore: the probability map on disk while it is computed, in bounded memory; a scan that dies goes on from it.

The map is a Zarr array with one chunk per tile. Beside it lies a journal with a line for every tile that is whole on
disk. A chunk is written before its line, so a scan that is killed at any moment loses at most the tiles in hand, and
ends with the same bytes as one that was left alone.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec

from scanner.errors import OutputError, OutputExistsError
from scanner.exports.atomic import remove_parts
from scanner.geometry import Box, Frame
from scanner.tiles import Tile

FloatMap = npt.NDArray[np.float32]
#: Folder of an unfinished scan within its result folder.
WORK_NAME = ".scan"
#: Seconds between two looks at a lock that another process holds.
_RELEASE_POLL = 0.2
_PLAN_NAME, _JOURNAL_NAME, _MAP_NAME, _LOCK_NAME = "plan.json", "journal.jsonl", "map.zarr", "lock"


class MapStore:
    """A float32 map on disk, written tile by tile."""

    def __init__(self, folder: Path, frame: Frame, array: zarr.Array[Any]) -> None:
        self.folder = folder
        self.frame = frame
        self._array = array
        #: Tiles that are whole on disk, by index, each with the map boxes in it that could not be read.
        self.done: dict[int, list[Box]] = _read_journal(folder / _JOURNAL_NAME)

    @classmethod
    def open(cls, folder: Path, frame: Frame, *, chunk_side: int, plan: dict[str, Any]) -> Self:
        """The store of an unfinished scan with the same plan, or else a new one.

        Parameters
        ----------
        folder : Path
            Of the store. What another plan has left there is removed.
        frame : Frame
        chunk_side : int
            Side of a tile's write box, in map px.
        plan : dict
            Everything that the map's bytes depend on, ready for JSON.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        try:
            known = _read_plan(folder)
            if known != json.loads(json.dumps(plan)):
                _clear(folder)
                array = _create_array(folder / _MAP_NAME, frame, chunk_side)
                # The plan comes last: without it, whatever else lies here does not count.
                (folder / _PLAN_NAME).write_text(json.dumps(plan), encoding="utf-8")
            else:
                array = zarr.open_array(str(folder / _MAP_NAME), mode="r+")
            return cls(folder, frame, array)
        except OSError as error:
            raise OutputError(f"{folder}: {error}") from error

    def write(self, tile: Tile, values: FloatMap, lost: list[Box]) -> None:
        """Store a tile's probabilities, and which map boxes in it could not be read."""
        try:
            self._array[tile.write.slices()] = values
            with (self.folder / _JOURNAL_NAME).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps({"tile": tile.index, "lost": lost}) + "\n")
        except OSError as error:
            raise OutputError(f"{self.folder}: {error}") from error
        self.done[tile.index] = lost

    def read(self, box: Box) -> FloatMap:
        """The values in `box`, in map pixels; 0 where nothing was scanned."""
        return np.asarray(cast(Any, self._array[box.slices()]), dtype=np.float32)


class ProbabilityMap:
    """The map of a finished scan: one class's probability for every `frame.stride`-th grid pixel.

    `np.asarray(probability_map)` gives it as float32 (rows, cols); `read` gives a part of a map too large for that.
    The values live in a folder that is removed with the last reference to the map.
    """

    def __init__(self, store: MapStore) -> None:
        self._store = store
        self._remove = weakref.finalize(self, shutil.rmtree, store.folder, ignore_errors=True)

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


class WorkFolder:
    """The folder of one unfinished scan, which belongs to one process at a time."""

    def __init__(self, results: Path | None) -> None:
        try:
            if results is None:
                self.path = Path(tempfile.mkdtemp(prefix="mitoscan-"))
            else:
                self.path = results / WORK_NAME
                self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / _LOCK_NAME).open("w")
        except OSError as error:
            raise OutputError(f"{results or tempfile.gettempdir()}: {error}") from error
        try:
            # The kernel lets go of it when the process dies, however it dies.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise OutputExistsError(f"{results}: another scan is writing there") from error
        self.is_temporary = results is None
        if results is not None:
            remove_parts(results)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let go; an unfinished scan without a result folder has nothing to go on from."""
        self._lock.close()
        if kind is not None and self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def wait_for_release(results: Path, *, seconds: float) -> None:
    """Wait until no process holds the unfinished scan in a result folder, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with (results / WORK_NAME / _LOCK_NAME).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_RELEASE_POLL)
        else:
            return


def remove_leftovers(results: Path) -> None:
    """Remove what an unfinished scan has left in a folder that is complete."""
    shutil.rmtree(results / WORK_NAME, ignore_errors=True)


def _create_array(path: Path, frame: Frame, chunk_side: int) -> zarr.Array[Any]:
    return zarr.create_array(
        store=str(path),
        shape=(frame.map_height, frame.map_width),
        chunks=(min(chunk_side, frame.map_height), min(chunk_side, frame.map_width)),
        dtype="float32",
        fill_value=0.0,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
        overwrite=True,
    )


def _clear(folder: Path) -> None:
    for name in (_PLAN_NAME, _JOURNAL_NAME):  # The plan goes first: half a store must not look whole.
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _MAP_NAME, ignore_errors=True)


def _read_plan(folder: Path) -> Any:
    try:
        return json.loads((folder / _PLAN_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_journal(path: Path) -> dict[int, list[Box]]:
    """Whole lines only: the last one may have been cut off with its process."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    entries = [json.loads(line) for line in whole.splitlines()]
    return {entry["tile"]: [Box(*box) for box in entry["lost"]] for entry in entries}
