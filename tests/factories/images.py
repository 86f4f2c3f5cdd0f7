"""Files of several images: scenes of the same proportions, overviews first, last or between, levels in every place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile
import zarr

from tests.factories.slides import Pixels, pyramid, texture
from tests.factories.zarr import write_image

#: Two scenes: the second has the size of the first one's level 1, and so its proportions.
FIRST, SECOND = texture(256, 384, seed=1), texture(128, 192, seed=2)
OVERVIEW = texture(64, 96, seed=3)
MPP, OVERVIEW_MPP = 0.5, 16.0
TILES: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "metadata": None}


@dataclass(frozen=True)
class Part:
    """An image of a file."""

    pixels: Pixels
    levels: int = 1
    mpp: float | None = MPP
    name: str = ""

    @property
    def arrays(self) -> list[Pixels]:
        return pyramid(self.pixels, self.levels)


def write_ome(path: Path, parts: Sequence[Part], *, bigtiff: bool = False) -> None:
    """OME-TIFF: an Image each, its levels in SubIFDs."""
    with tifffile.TiffWriter(path, ome=True, bigtiff=bigtiff) as writer:
        for part in parts:
            size = {} if part.mpp is None else {"PhysicalSizeX": part.mpp, "PhysicalSizeY": part.mpp}
            named = {"Name": part.name} if part.name else {}
            options = TILES | {"metadata": {"axes": "YXS", **size, **named}}
            writer.write(part.pixels, subifds=part.levels - 1, **options)
            for array in part.arrays[1:]:
                writer.write(array, subfiletype=1, **TILES)


def write_chain(path: Path, pages: Sequence[tuple[Pixels, dict[str, Any]]], *, bigtiff: bool = False) -> None:
    """Pages one after the other, each with tifffile's options of its own."""
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for pixels, options in pages:
            writer.write(pixels, **TILES | options)


def write_tiff(path: Path, parts: Sequence[Part], *, bigtiff: bool = False) -> None:
    """Pages without a word of what they are, but for the flag of reduced ones and names of overviews."""
    pages = []
    for part in parts:
        tags = {} if part.mpp is None else {"resolution": (1e4 / part.mpp,) * 2, "resolutionunit": "CENTIMETER"}
        described = tags | ({"description": part.name} if part.name else {})
        pages += [(array, described | {"subfiletype": int(index > 0)}) for index, array in enumerate(part.arrays)]
    write_chain(path, pages, bigtiff=bigtiff)


def write_sub_tiff(path: Path, parts: Sequence[Part], *, bigtiff: bool = False) -> None:
    """Pages with their levels in SubIFDs, and no OME-XML."""
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for part in parts:
            tags = {} if part.mpp is None else {"resolution": (1e4 / part.mpp,) * 2, "resolutionunit": "CENTIMETER"}
            named = {"description": part.name} if part.name else {}
            writer.write(part.pixels, subifds=part.levels - 1, **TILES | tags | named)
            for array in part.arrays[1:]:
                writer.write(array, subfiletype=1, **TILES)


def write_zarr(path: Path, parts: Sequence[Part], *, version: str = "0.5") -> None:
    """As bioformats2raw lays it out: a group an image, by numbers; names in METADATA.ome.xml."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    mark = {"bioformats2raw.layout": 3}
    group.attrs.update(mark if version == "0.4" else {"ome": {"version": version, **mark}})
    for index, part in enumerate(parts):
        write_image(group.create_group(str(index)), part.arrays, version=version, axes="tczyx", mpp=part.mpp)
    if any(part.name for part in parts):
        images = "".join(f'<Image ID="Image:{i}" Name="{part.name}"/>' for i, part in enumerate(parts))
        (path / "OME").mkdir()
        text = f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>'
        (path / "OME" / "METADATA.ome.xml").write_text(text)


#: A file's name, and what writes images into it.
Write = Callable[[Path, Sequence[Part]], None]
WRITERS: dict[str, Write] = {
    "a.ome.tif": write_ome,
    "big.ome.tif": lambda path, parts: write_ome(path, parts, bigtiff=True),
    "a.tif": write_tiff,
    "big.tif": lambda path, parts: write_tiff(path, parts, bigtiff=True),
    "sub.tif": write_sub_tiff,
    "two.zarr": lambda path, parts: write_zarr(path, parts, version="0.4"),
    "three.zarr": lambda path, parts: write_zarr(path, parts, version="0.5"),
}
