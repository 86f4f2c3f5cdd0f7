"""The probability map as OME-Zarr 0.5: uint8, max-pooled levels, in sharded Zarr 3; napari opens it in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import BloscCodec

from scanner.exports.ome_tiff import Rows, bytes_from_probabilities, level_shapes, max_pool
from scanner.files.atomic import replacing_folder
from scanner.geometry.frames import Box, Frame
from scanner.maps.smoothing import ReadMap

#: Box of a level -> its pixels.
ReadBox = Callable[[Box], Rows]

CHUNK_PX = 512
#: A file holds up to this many by this many px: otherwise a large slide would be ten thousands of them.
SHARD_PX = 4096


def write_zarr(path: Path, read: ReadMap, frame: Frame) -> None:
    """Write the map as the folder `map.ome.zarr`; the same map gives the same bytes.

    Parameters
    ----------
    path : Path
        The folder; what was there is replaced as a whole.
    read : callable
        Box within the map, in map px -> ndarray of shape (h, w), float32, between 0 and 1.
    frame : Frame
        Of the map.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    with replacing_folder(path) as temporary:
        _write_levels(temporary, read, frame)


def _write_levels(folder: Path, read: ReadMap, frame: Frame) -> None:
    shapes = level_shapes(frame.map_height, frame.map_width)
    group = zarr.create_group(str(folder), attributes={"ome": _metadata(frame, len(shapes))})
    read_box: ReadBox = partial(_read_map, read)
    for index, shape in enumerate(shapes):
        level = group.create_array(
            str(index),
            shape=shape,
            chunks=(CHUNK_PX, CHUNK_PX),
            shards=(SHARD_PX, SHARD_PX) if max(shape) > CHUNK_PX else None,
            dtype="uint8",
            fill_value=0,
            dimension_names=["y", "x"],
            compressors=BloscCodec(cname="zstd", clevel=5, shuffle="noshuffle"),
        )
        for top in range(0, shape[0], SHARD_PX):
            for left in range(0, shape[1], SHARD_PX):
                box = Box(top, left, top + SHARD_PX, left + SHARD_PX).clipped(*shape)
                level[box.slices()] = read_box(box)
        read_box = partial(_read_pooled, level)


def _metadata(frame: Frame, levels: int) -> dict[str, Any]:
    """Where each level lies, in micrometres, so that it fits on a slide whose first pixel has its centre at 0.

    The centre of map px 0 is that of grid px 0; a px of level n stands for 2^n map px, and its centre is theirs.
    """
    first = (frame.grid_mpp - frame.level0_mpp) / 2
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [frame.map_mpp * 2**level] * 2},
                {"type": "translation", "translation": [first + frame.map_mpp * (2**level - 1) / 2] * 2},
            ],
        }
        for level in range(levels)
    ]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    scales = {"name": "probability", "type": "max", "axes": axes, "datasets": datasets}
    return {"version": "0.5", "multiscales": [scales]}


def _read_map(read: ReadMap, box: Box) -> Rows:
    return bytes_from_probabilities(read(box))


def _read_pooled(level: Any, box: Box) -> Rows:
    """A box of the next level, pooled from this one."""
    return max_pool(level[2 * box.top : 2 * box.bottom, 2 * box.left : 2 * box.right])
