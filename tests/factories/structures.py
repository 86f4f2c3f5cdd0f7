"""Slides of every structure for the sweep: images, levels, SubIFDs, flags, units, padding, byte orders, lost tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from tests.factories.holes import leave_out
from tests.factories.slides import Pixels, aperio_description, texture
from tests.factories.zarr import write_image

#: The unit's name -> micrometres.
OME_UNITS = {"µm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "pm": 1e-6}
ZARR_UNITS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "µm": 1.0, "um": 1.0}
TIFF_UNITS = {"CENTIMETER": 1e4, "INCH": 25_400.0}
LAYOUTS = ("ome", "chain", "sub", "aperio", "zarr2", "zarr3")


@dataclass(frozen=True)
class Structure:
    """What is written."""

    layout: str
    #: (height, width, levels) of each image; the first is not always the largest.
    images: tuple[tuple[int, int, int], ...]
    #: Of level 0 of each image; None: the file is silent.
    mpp: float | None
    unit: int
    #: Whether sides of levels are rounded up.
    rounds_up: bool
    #: Whether level 1 is filled up with white to whole tiles, as some scanners do.
    is_padded: bool
    #: NewSubfileType of reduced levels in a chain.
    flag: int
    #: What levels state in a chain: nothing, their own mpp, level 0's, or a wrong one.
    level_mpp: str
    byte_order: str
    is_big: bool
    #: Place of a picture called macro: before all images, behind them, or none.
    overview: str
    #: A level of the first image, of which a tile is lost; None: nothing is.
    lost: int | None


@dataclass(frozen=True)
class Written:
    """An image as it was written."""

    levels: tuple[Pixels, ...]
    mpp: float | None
    name: str = ""

    @property
    def size(self) -> tuple[int, int]:
        return self.levels[0].shape[0], self.levels[0].shape[1]


TILE = 32
OVERVIEW = texture(70, 50, seed=99)


def arrays_of(structure: Structure) -> list[list[Pixels]]:
    """The levels of each image."""
    images = []
    for seed, (height, width, levels) in enumerate(structure.images):
        image = [texture(height, width, seed=seed, blob=12)]
        while len(image) < levels:
            image.append(_reduced(image[-1], structure.rounds_up))
        if structure.is_padded and levels > 1:
            image[1] = _padded(image[1])
        images.append(image)
    return images


def _reduced(pixels: Pixels, rounds_up: bool) -> Pixels:
    if rounds_up:
        pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    quads = pixels[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    return quads.mean(axis=(1, 3)).round().astype(np.uint8)


def _padded(pixels: Pixels) -> Pixels:
    pad = ((0, -pixels.shape[0] % TILE), (0, -pixels.shape[1] % TILE), (0, 0))
    return np.pad(pixels, pad, constant_values=255)


def write(path: Path, structure: Structure) -> list[Written]:
    """Write the file or folder; returns its images."""
    images = arrays_of(structure)
    if structure.layout.startswith("zarr"):
        _write_zarr(path, structure, images)
    else:
        _write_tiff(path, structure, images)
        if structure.lost is not None:
            leave_out(path, _page_of_lost(structure), [0])
    return [Written(tuple(levels), structure.mpp, f"image {index}") for index, levels in enumerate(images)]


def _page_of_lost(structure: Structure) -> int:
    """Where `leave_out` finds the page; nothing stands before the first image if anything is lost."""
    assert structure.lost is not None
    return structure.lost + (1 if structure.layout == "aperio" and structure.lost else 0)  # Behind the thumbnail.


def _write_tiff(path: Path, structure: Structure, images: list[list[Pixels]]) -> None:
    with tifffile.TiffWriter(
        path, bigtiff=structure.is_big, byteorder=structure.byte_order, ome=structure.layout == "ome"
    ) as writer:
        pages = {"ome": _ome, "chain": _chain, "sub": _sub, "aperio": _aperio}[structure.layout](structure, images)
        if structure.overview == "before":
            _write_overview(writer, structure)
        for pixels, options in pages:
            writer.write(pixels, **{"photometric": "rgb", "tile": (TILE, TILE), "metadata": None} | options)
        if structure.overview == "behind":
            _write_overview(writer, structure)


def _write_overview(writer: tifffile.TiffWriter, structure: Structure) -> None:
    if structure.layout == "ome":
        options: dict[str, Any] = {"metadata": {"axes": "YXS", "Name": "macro image"}}
    elif structure.layout == "aperio":
        options = {"description": "Aperio Image Library v12.0.0\r\nmacro 50x70", "subfiletype": 9, "metadata": None}
    else:
        options = {"description": "macro", "metadata": None}
    writer.write(OVERVIEW, photometric="rgb", **options)


Pages = Iterator[tuple[Pixels, dict[str, Any]]]


def _ome(structure: Structure, images: list[list[Pixels]]) -> Pages:
    unit, um = list(OME_UNITS.items())[structure.unit % len(OME_UNITS)]
    for index, levels in enumerate(images):
        said: dict[str, Any] = {"axes": "YXS", "Name": f"image {index}"}
        for axis in "XY" if structure.mpp is not None else "":
            said |= {f"PhysicalSize{axis}": structure.mpp / um, f"PhysicalSize{axis}Unit": unit}  # type: ignore[operator]
        yield levels[0], {"subifds": len(levels) - 1, "metadata": said}
        for level in levels[1:]:
            yield level, {"subfiletype": 1}


def _density(structure: Structure, mpp: float | None) -> dict[str, Any]:
    if mpp is None:
        return {}
    unit, um = list(TIFF_UNITS.items())[structure.unit % len(TIFF_UNITS)]
    return {"resolution": (um / mpp, um / mpp), "resolutionunit": unit}


def _chain(structure: Structure, images: list[list[Pixels]]) -> Pages:
    mpp = structure.mpp
    for levels in images:
        for index, level in enumerate(levels):
            if index and mpp is not None:
                said = {"none": None, "own": mpp * 2**index, "same": mpp, "wrong": mpp * 2**index * 1.7}
                stated = said[structure.level_mpp]
            else:
                stated = mpp
            yield level, _density(structure, stated) | {"subfiletype": structure.flag if index else 0}


def _sub(structure: Structure, images: list[list[Pixels]]) -> Pages:
    for levels in images:
        yield levels[0], _density(structure, structure.mpp) | {"subifds": len(levels) - 1}
        for level in levels[1:]:
            yield level, {"subfiletype": 1}


def _aperio(structure: Structure, images: list[list[Pixels]]) -> Pages:
    (levels,) = images
    yield levels[0], {"description": aperio_description(levels[0], structure.mpp)}
    thumbnail = levels[0][::3, ::3]
    yield thumbnail, {"tile": None, "description": aperio_description(levels[0], structure.mpp)}
    for level in levels[1:]:
        yield level, {"description": aperio_description(level, structure.mpp)}


def _write_zarr(path: Path, structure: Structure, images: list[list[Pixels]]) -> None:
    version = "0.4" if structure.layout == "zarr2" else "0.5"
    unit, um = list(ZARR_UNITS.items())[structure.unit % len(ZARR_UNITS)]
    mpp = None if structure.mpp is None else structure.mpp / um
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    axes = ("cyx", "yxc", "tczyx")[structure.unit % 3]
    if len(images) == 1:
        write_image(group, images[0], version=version, axes=axes, mpp=mpp, unit=unit)
        return
    mark = {"bioformats2raw.layout": 3}
    group.attrs.update(mark if version == "0.4" else {"ome": {"version": version, **mark}})
    for index, levels in enumerate(images):
        write_image(group.create_group(str(index)), levels, version=version, axes=axes, mpp=mpp, unit=unit)
