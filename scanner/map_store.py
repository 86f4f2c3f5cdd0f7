"""MapStore: the probability map on disk while it is computed, in bounded memory; a scan that dies goes on from it.

The map is a Zarr array with one chunk per tile. Beside it lies a journal with a line for every tile that is whole on
disk. A chunk is written before its line, so a scan that is killed at any moment loses at most the tiles in hand, and
ends with the same bytes as one that was left alone.

Many processes may fill one map, each a band of its tiles: a band has a journal and a lock of its own.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self, cast

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
_PLAN_NAME, _JOURNAL, _MAP_NAME, _LOCK = "plan.json", "journal", "map.zarr", "lock"


class MapStore:
    """Float32 maps on disk, written tile by tile: one layer for each class that is mapped."""

    def __init__(
        self, folder: Path, frame: Frame, arrays: Sequence[zarr.Array[Any]], *, band: int | None = None
    ) -> None:
        self.folder = folder
        self.frame = frame
        self._arrays = tuple(arrays)
        self._journal = folder / f"{_named(_JOURNAL, band)}.jsonl"
        _cut_off_half_line(self._journal)
        #: Tiles that are whole on disk, by index, each with the map boxes in it that could not be read.
        self.done: dict[int, list[Box]] = _read_journals(folder)

    @property
    def layers(self) -> int:
        """How many maps there are."""
        return len(self._arrays)

    @classmethod
    def open(
        cls, folder: Path, frame: Frame, *, chunk_side: int, plan: dict[str, Any], band: int | None = None
    ) -> Self:
        """The store of an unfinished scan with the same plan, or else a new one.

        Parameters
        ----------
        folder : Path
            Of the store. What another plan has left there is removed.
        frame : Frame
        chunk_side : int
            Side of a tile's write box, in map px.
        plan : dict
            Everything that the map's bytes depend on, ready for JSON; the classes `mapped` have a layer each.
        band : int, optional
            Of which this process writes the tiles, others at the same time those of other bands; the map is there.

        Raises
        ------
        OutputError
            The folder cannot be written.
        OutputExistsError
            Others are writing bands of another map.
        """
        try:
            places = [folder / _map_name(layer) for layer in range(len(plan.get("mapped", [""])))]
            if read_plan(folder) == json.loads(json.dumps(plan)):
                return cls(folder, frame, [zarr.open_array(str(place), mode="r+") for place in places], band=band)
            if band is None:
                _clear(folder)
                arrays = [_create_array(place, frame, chunk_side) for place in places]
                # The plan comes last: without it, whatever else lies here does not count.
                (folder / _PLAN_NAME).write_text(json.dumps(plan), encoding="utf-8")
                return cls(folder, frame, arrays)
        except OSError as error:
            raise OutputError(f"{folder}: {error}") from error
        raise OutputExistsError(f"{folder.parent}: another scan is writing there")

    def write(self, tile: Tile, values: FloatMap, lost: list[Box]) -> None:
        """Store a tile's probabilities, (K, h, w), and which map boxes in it could not be read."""
        try:
            for array, layer in zip(self._arrays, values, strict=True):
                array[tile.write.slices()] = layer
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps({"tile": tile.index, "lost": lost}) + "\n")
        except OSError as error:
            raise OutputError(f"{self.folder}: {error}") from error
        self.done[tile.index] = lost

    def read(self, box: Box, layer: int = 0) -> FloatMap:
        """The values of one map in `box`, in map pixels; 0 where nothing was scanned."""
        return np.asarray(cast(Any, self._arrays[layer][box.slices()]), dtype=np.float32)


class ProbabilityMap:
    """The map of a finished scan: the target's probability for every `frame.stride`-th grid pixel.

    `np.asarray(probability_map)` gives it as float32 (rows, cols); `read` gives a part of a map too large for that.
    A model that maps several classes has a layer for each: (layers, rows, cols), the target's first.
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

    @property
    def layers(self) -> int:
        """How many classes are mapped."""
        return self._store.layers

    def read(self, box: Box, layer: int = 0) -> FloatMap:
        """The values in `box`, in map pixels: of the target, or of another layer."""
        return self._store.read(box, layer)

    def read_layers(self, box: Box) -> FloatMap:
        """The values of all layers in `box`: (layers, h, w)."""
        return np.stack([self.read(box, layer) for layer in range(self.layers)])

    def read_highest(self, box: Box) -> FloatMap:
        """The highest of all layers in `box`: what a picture of a map of several classes shows."""
        return self.read(box) if self.layers == 1 else self.read_layers(box).max(axis=0)

    def close(self) -> None:
        """Remove the values from disk now."""
        self._remove()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole map."""
        values = self.read_layers(Box(0, 0, *self.shape)).astype(dtype or np.float32, copy=False)
        return values[0] if self.layers == 1 else values


class WorkFolder:
    """The folder of one unfinished scan, which belongs to one process at a time; or each of its bands to one."""

    def __init__(self, results: Path | None, *, band: int | None = None) -> None:
        self.is_temporary = results is None
        self._locks = ExitStack()
        try:
            if results is None:
                self.path = Path(tempfile.mkdtemp(prefix="mitoscan-"))
            else:
                self.path = results / WORK_NAME
                self.path.mkdir(parents=True, exist_ok=True)
            whole = own = self._locks.enter_context(_open_lock(self.path, None))
            if band is not None:
                own = self._locks.enter_context(_open_lock(self.path, band))
        except OSError as error:
            self._locks.close()
            raise OutputError(f"{results or tempfile.gettempdir()}: {error}") from error
        try:
            # The kernel lets go of them when the process dies, however it dies.
            if band is not None:
                fcntl.flock(whole, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._locks.close()
            raise OutputExistsError(f"{results}: another scan is writing there") from error
        if results is not None and band is None:
            remove_parts(results)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let go; an unfinished scan without a result folder has nothing to go on from."""
        self._locks.close()
        if kind is not None and self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def wait_for_release(results: Path, *, band: int | None = None, seconds: float) -> None:
    """Wait until no process holds the unfinished scan in a result folder, or that band of it; at most so long."""
    deadline = time.monotonic() + seconds
    while (results / WORK_NAME).exists() and time.monotonic() < deadline:
        try:
            with _open_lock(results / WORK_NAME, band) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_RELEASE_POLL)
        else:
            return


def _open_lock(work: Path, band: int | None) -> IO[str]:
    # Some file systems want a file that is locked for one open for writing, and one that is shared for reading.
    return (work / _named(_LOCK, band)).open("a+")


def _named(name: str, band: int | None) -> str:
    return name if band is None else f"{name}-{band}"


def remove_leftovers(results: Path) -> None:
    """Remove what an unfinished scan has left in a folder that is complete."""
    shutil.rmtree(results / WORK_NAME, ignore_errors=True)


def _map_name(layer: int) -> str:
    return _MAP_NAME if layer == 0 else f"map-{layer}.zarr"


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
    (folder / _PLAN_NAME).unlink(missing_ok=True)  # It goes first: half a store must not look whole.
    for journal in _journals(folder):
        journal.unlink(missing_ok=True)
    for path in folder.glob("map*.zarr"):
        shutil.rmtree(path, ignore_errors=True)


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_JOURNAL}*.jsonl"))


def read_plan(folder: Path) -> Any:
    """The plan of the unfinished map in `folder`; None if there is none."""
    try:
        return json.loads((folder / _PLAN_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_journals(folder: Path) -> dict[int, list[Box]]:
    """Whole lines only: the last one of a journal may have been cut off with its process, or is being written."""
    done: dict[int, list[Box]] = {}
    for path in _journals(folder):
        text = path.read_text(encoding="utf-8")
        for line in text[: text.rfind("\n") + 1].splitlines():
            entry = json.loads(line)
            done[entry["tile"]] = [Box(*box) for box in entry["lost"]]
    return done


def _cut_off_half_line(path: Path) -> None:
    if path.exists():
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, encoding="utf-8")
