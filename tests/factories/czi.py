"""Zeiss CZI for tests, by Zeiss' own writer; a reduced level, which that cannot write, is marked as such afterwards."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.factories.slides import halved

#: "DV", the pixel type, the place in the file, its part, the compression, the pyramid's type, spare, dimensions.
_ENTRY = struct.Struct("<2siqiiB5xi")
#: Name, start, size, start coordinate, stored size.
_DIMENSION = struct.Struct("<4siifi")


@dataclass(frozen=True)
class Scene:
    """A piece of tissue, and where its top left lies on the stage, in level-0 px."""

    pixels: npt.NDArray[Any]
    top: int = 0
    left: int = 0


def write_czi(
    path: Path,
    scenes: Sequence[Scene],
    *,
    mpp: float | None = 0.25,
    is_pyramid: bool = False,
    planes: int = 1,
    compression: str = "zstd1:ExplicitLevel=2",
) -> None:
    """Write scenes, each with a level of half its size if `is_pyramid`; `planes` are focal planes."""
    czi = import_module("pylibCZIrw.czi")
    with czi.create_czi(str(path), compression_options=compression) as file:
        for index, scene in enumerate(scenes):
            for plane in range(planes):
                place = {"location": (scene.left, scene.top), "scene": index, "plane": {"Z": plane}}
                file.write(_bgr(scene.pixels), **place)
                if is_pyramid:
                    file.write(_bgr(halved(scene.pixels)), **place)
        scale = None if mpp is None else mpp * 1e-6
        file.write_metadata("slide", scale_x=scale, scale_y=scale)
    if is_pyramid:
        for scene in scenes:
            _mark_as_reduced(path, (scene.pixels.shape[0] // 2, scene.pixels.shape[1] // 2))


def _bgr(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(pixels[:, :, ::-1]) if pixels.ndim == 3 else pixels[:, :, None]


def _mark_as_reduced(path: Path, stored: tuple[int, int]) -> None:
    """Say of every part of that stored size, in the directory and at the part itself, that it covers twice as much."""
    content = bytearray(path.read_bytes())
    place = content.find(b"DV")
    while place >= 0:
        count = _ENTRY.unpack_from(content, place)[6] if place + _ENTRY.size <= len(content) else 0
        if 0 < count < 12 and place + _ENTRY.size + count * _DIMENSION.size <= len(content):
            _double(content, place + _ENTRY.size, count, stored)
        place = content.find(b"DV", place + 2)
    path.write_bytes(content)


def _double(content: bytearray, start: int, count: int, stored: tuple[int, int]) -> None:
    places = [start + index * _DIMENSION.size for index in range(count)]
    sides = {}
    for place in places:
        name, first, size, coordinate, kept = _DIMENSION.unpack_from(content, place)
        sides[name.rstrip(b"\0")] = (place, name, first, size, coordinate, kept)
    if (sides.get(b"Y", (0,))[-1], sides.get(b"X", (0,))[-1]) != stored:
        return
    for axis in (b"Y", b"X"):
        place, name, first, size, coordinate, kept = sides[axis]
        _DIMENSION.pack_into(content, place, name, first, 2 * size, coordinate, kept)
