"""MapStore: the probability map on disk while it is computed, in bounded memory; a scan that dies goes on from it.

The map is a Zarr array with one chunk per tile. Beside it lies a journal with a line for every tile, which holds a
checksum of the line and of the tile's values. Both are brought to disk at intervals (`scanner.files.journal`). So a
scan that is killed at any moment loses at most the tiles in hand, one whose machine loses power at most half a minute
of work, and both end with the bytes of one that was left alone: a tile without its line, or whose values are not those
that the line vouches for, is scored again.

Many processes may fill one map, each a band of its tiles: a band has a journal of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from scanner.errors import OutputError, OutputExistsError
from scanner.files.atomic import remove, sync_files, write_text
from scanner.files.journal import Journal, SyncClock, checksum, read_lines
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box, Frame
from scanner.geometry.tiles import Tile

#: What a change of plan does not touch: locks, and what goes with the scan before (`scanner.exports.report`).
_STAYS = ("lock", "ended")
_PLAN_NAME, _JOURNAL, _MAP_NAME = "plan.json", "journal", "map.zarr"


class MapStore:
    """Float32 maps on disk, written tile by tile: one layer for each class that is mapped."""

    def __init__(
        self, folder: Path, frame: Frame, arrays: Sequence[zarr.Array[Any]], *, band: int | None = None
    ) -> None:
        self.folder = folder
        self.frame = frame
        self._arrays = tuple(arrays)
        self._journal = Journal(folder / _journal_name(band))
        #: Tiles that are on disk and were checked, by index, each with the map boxes in it that could not be read.
        self.done: dict[int, list[Box]] = {}
        self._claims = _read_journals(folder)
        self._unsynced: set[Path] = set()
        self._clock = SyncClock()

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
        layers = len(plan.get("mapped", [""]))
        try:
            if read_plan(folder) == json.loads(json.dumps(plan)):
                with suppress(FileNotFoundError, KeyError, ValueError):  # The arrays are not what the plan says.
                    return cls(folder, frame, _open_arrays(folder, layers), band=band)
            if band is None:
                folder.mkdir(parents=True, exist_ok=True)
                clear(folder)
                arrays = [_create_array(folder / _map_name(layer), frame, chunk_side) for layer in range(layers)]
                sync_files(folder / _map_name(layer) / "zarr.json" for layer in range(layers))
                # The plan comes last: without it, whatever else lies here does not count.
                write_text(folder / _PLAN_NAME, json.dumps(plan))
                return cls(folder, frame, arrays)
        except OSError as error:
            raise OutputError(f"{folder}: {error}") from error
        raise OutputExistsError(f"{folder.parent}: another scan is writing there")

    def at(self, folder: Path) -> Self:
        """The same map, after its folder was given another name."""
        return type(self)(folder, self.frame, _open_arrays(folder, self.layers))

    def recall(self, tiles: Iterable[Tile]) -> None:
        """Find those of `tiles` that an earlier process has left, and check each; what is wrong is removed."""
        for tile in tiles:
            claims = self._claims.pop(tile.index, [])
            lost = self._checked(tile, claims)
            if lost is not None:
                self.done[tile.index] = lost
            elif claims:
                for chunk in self._chunks(tile.write):
                    chunk.unlink(missing_ok=True)

    def write(self, tile: Tile, values: FloatMap, lost: list[Box]) -> None:
        """Store a tile's probabilities, (K, h, w), and which map boxes in it could not be read."""
        try:
            for array, layer in zip(self._arrays, values, strict=True):
                array[tile.write.slices()] = layer
        except OSError as error:
            raise OutputError(f"{self.folder}: {error}") from error
        self._journal.append(_entry(tile.index, lost), _bytes_of(values))
        self.done[tile.index] = lost
        self._unsynced.update(self._chunks(tile.write))
        if self._clock.is_due():
            self.sync()

    def sync(self) -> None:
        """Wait until everything that was written is safe from a power cut."""
        if self._unsynced:
            self._journal.sync(self._unsynced)
            self._unsynced.clear()

    def read(self, box: Box, layer: int = 0) -> FloatMap:
        """The values of one map in `box`, in map pixels; 0 where nothing was scanned."""
        return np.asarray(cast(Any, self._arrays[layer][box.slices()]), dtype=np.float32)

    def _checked(self, tile: Tile, claims: list[tuple[dict[str, Any], int]]) -> list[Box] | None:
        """The boxes of a tile that could not be read; None if its values are not what any line vouches for."""
        if not claims:
            return None
        try:
            content = _bytes_of(np.stack([self.read(tile.write, layer) for layer in range(self.layers)]))
        except (OSError, RuntimeError, ValueError):  # A chunk that is cut off, or none.
            return None
        for entry, claimed in claims:
            if checksum(entry, content) == claimed:
                return [Box(*box) for box in entry["lost"]]
        return None

    def _chunks(self, box: Box) -> Iterator[Path]:
        """The files that hold a box, of all layers."""
        side_rows, side_cols = self._arrays[0].chunks
        for layer in range(self.layers):
            for row in range(box.top // side_rows, -(-box.bottom // side_rows)):
                for col in range(box.left // side_cols, -(-box.right // side_cols)):
                    yield self.folder / _map_name(layer) / "c" / str(row) / str(col)


def clear(folder: Path) -> None:
    """Remove what was scored from the folder of an unfinished scan."""
    (folder / _PLAN_NAME).unlink(missing_ok=True)  # It goes first: half a store must not look whole.
    for path in folder.iterdir():
        if not path.name.startswith(_STAYS):
            remove(path)


def read_plan(folder: Path) -> Any:
    """The plan of the unfinished map in `folder`; None if there is none."""
    try:
        return json.loads((folder / _PLAN_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _entry(index: int, lost: Sequence[Box]) -> dict[str, Any]:
    return {"tile": index, "lost": [list(box) for box in lost]}


def _bytes_of(values: FloatMap) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def _read_journals(folder: Path) -> dict[int, list[tuple[dict[str, Any], int]]]:
    """What all journals say of each tile: its entry, and the checksum of that and of the tile's values."""
    claims: dict[int, list[tuple[dict[str, Any], int]]] = {}
    for path in sorted(folder.glob(f"{_JOURNAL}*.jsonl")):
        for entry, claimed in read_lines(path, {"tile", "lost"}):
            if type(entry["tile"]) is int:
                claims.setdefault(entry["tile"], []).append((entry, claimed))
    return claims


def _journal_name(band: int | None) -> str:
    return f"{_JOURNAL}.jsonl" if band is None else f"{_JOURNAL}-{band}.jsonl"


def _map_name(layer: int) -> str:
    return _MAP_NAME if layer == 0 else f"map-{layer}.zarr"


def _open_arrays(folder: Path, layers: int) -> list[zarr.Array[Any]]:
    return [zarr.open_array(str(folder / _map_name(layer)), mode="r+") for layer in range(layers)]


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
