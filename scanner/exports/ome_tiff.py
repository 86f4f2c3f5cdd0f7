"""The probability map as a pyramidal OME-TIFF: uint8, max-pooled levels, readable by every common viewer.

Levels are max-pooled because a mean would wash single peaks out. Only a band of tiles is held in memory; each level is
spooled to disk as the source of the next.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import tifffile

from scanner.files.atomic import part_of, remove, replacing
from scanner.geometry.frames import Box, Frame
from scanner.maps.smoothing import Map, ReadMap

Rows = npt.NDArray[np.uint8]
#: First and last row (exclusive) of a level -> its pixels (rows, width).
ReadRows = Callable[[int, int], Rows]

#: Side of a TIFF tile; a level that fits into one has no smaller level below it.
TILE_PX = 512
#: Pixels of the whole pyramid above which offsets may not fit into a classic TIFF.
BIG_PX = 2**31
#: Deflate is read rightly by all of tifffile, OpenSlide, libvips and Bio-Formats; not so zstd.
ENCODING: dict[str, Any] = {
    "dtype": np.uint8,
    "tile": (TILE_PX, TILE_PX),
    "compression": "zlib",
    "photometric": "minisblack",
}


def write_map(path: Path, read: ReadMap, frame: Frame) -> None:
    """Write the map as `map.ome.tiff`; the same map gives the same bytes.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Box within the map, in map px -> ndarray of shape (h, w), float32, between 0 and 1.
    frame : Frame
        Gives the size of the map and of its pixels (PhysicalSize, in micrometres).

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    source = _Source("probability", partial(_read_bytes, read, frame.map_width), max_pool)
    with replacing(path) as temporary, _spools(path.parent) as spools:
        _write_pyramid(temporary, source, frame, spools)


def write_labels(path: Path, read: Callable[[Box], Rows], frame: Frame) -> None:
    """Write labels, uint8, as a pyramid of which each level has every second pixel of the one before.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Box within the map, in map px -> ndarray of shape (h, w), uint8.
    frame : Frame
        Of the map.

    Raises
    ------
    OutputError
        The file cannot be written.
    """

    def read_rows(first: int, last: int) -> Rows:
        return read(Box(first, 0, last, frame.map_width))

    source = _Source("classes", read_rows, lambda labels: labels[::2, ::2])
    with replacing(path) as temporary, _spools(path.parent) as spools:
        _write_pyramid(temporary, source, frame, spools)


@contextmanager
def _spools(folder: Path) -> Iterator[Path]:
    """A folder for levels on their way, which goes again."""
    spools = part_of(folder / "levels")
    spools.mkdir()
    try:
        yield spools
    finally:
        remove(spools)


@dataclass(frozen=True)
class _Source:
    """What a pyramid is made of."""

    name: str
    read_rows: ReadRows
    #: Halves a level, odd sizes rounded up.
    halve: Callable[[Rows], Rows]


def _write_pyramid(path: Path, source: _Source, frame: Frame, spools: Path) -> None:
    read_rows = source.read_rows
    shapes = level_shapes(frame.map_height, frame.map_width)
    is_big = sum(height * width for height, width in shapes) > BIG_PX
    with tifffile.TiffWriter(path, ome=True, bigtiff=is_big) as tiff:
        for index, shape in enumerate(shapes):
            place: dict[str, Any] = (
                {"subifds": len(shapes) - 1, "metadata": _metadata(source.name, frame)}
                if index == 0
                else {"subfiletype": 1, "metadata": None}
            )
            spool = spools / f"{index + 1}"
            with spool.open("wb") as file:
                tiles = _tiles(replace(source, read_rows=read_rows), shape, file)
                tiff.write(tiles, shape=shape, **place, **ENCODING)
            read_rows = partial(_read_spool, spool, -(-shape[1] // 2))


def level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of the pyramid's levels: halved, odd sizes rounded up, until one tile holds it all."""
    shapes = [(height, width)]
    while max(shapes[-1]) > TILE_PX:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def max_pool(values: Rows) -> Rows:
    """The maximum of each 2 x 2 pixels; odd sizes are rounded up: (h, w) -> (ceil(h / 2), ceil(w / 2))."""
    rows = np.maximum.reduceat(values, np.arange(0, values.shape[0], 2), axis=0)
    pooled: Rows = np.maximum.reduceat(rows, np.arange(0, values.shape[1], 2), axis=1)
    return pooled


def bytes_from_probabilities(values: Map) -> Rows:
    """Probabilities as uint8: 255 is 1."""
    scaled: Rows = np.rint(values * np.float32(255)).astype(np.uint8)
    return scaled


def _tiles(source: _Source, shape: tuple[int, int], spool: IO[bytes]) -> Iterator[Rows]:
    """The tiles of a level, row by row; the next level's pixels go to `spool` meanwhile."""
    height, width = shape
    for top in range(0, height, TILE_PX):
        band = source.read_rows(top, min(top + TILE_PX, height))
        spool.write(source.halve(band).tobytes())
        for left in range(0, width, TILE_PX):
            yield band[:, left : left + TILE_PX]


def _read_bytes(read: ReadMap, width: int, first: int, last: int) -> Rows:
    return bytes_from_probabilities(read(Box(first, 0, last, width)))


def _read_spool(spool: Path, width: int, first: int, last: int) -> Rows:
    count = (last - first) * width
    return np.fromfile(spool, np.uint8, count=count, offset=first * width).reshape(last - first, width)


def _metadata(name: str, frame: Frame) -> dict[str, Any]:
    # The format wants an identity. A random one would make every file a different one.
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"https://mitoscan.invalid/{name}/{frame}")
    return {
        "axes": "YX",
        "UUID": f"urn:uuid:{identity}",
        "Name": name,
        "PhysicalSizeX": frame.map_mpp,
        "PhysicalSizeXUnit": "\N{MICRO SIGN}m",
        "PhysicalSizeY": frame.map_mpp,
        "PhysicalSizeYUnit": "\N{MICRO SIGN}m",
    }
