"""Images of any number of channels, as programs for fluorescence and multispectral imaging write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from tests.factories.slides import Pixels, pyramid
from tests.factories.zarr import write_ome_zarr

#: Writes levels (h, w, channels) of 0.25 um/px, each half of the one above, into a folder; returns the slide's path.
Write = Callable[[Path, list[Pixels]], Path]
_TAGS = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}


def stained(height: int, width: int, channels: int, *, seed: int = 0) -> Pixels:
    """Blots in each channel, at places of its own, on a dark ground with grain."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    pixels = rng.normal(25, 6, (height, width, channels))
    for channel in range(channels):
        for row, col in rng.uniform(0, 1, (height * width // 900 + 1, 2)) * (height, width):
            pixels[..., channel] += 150 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 20)
    return pixels.clip(0, 255).astype(np.uint8)


def as_one_page(folder: Path, levels: list[Pixels], planar: str = "contig") -> Path:
    """A page a level, which holds all channels."""
    path = folder / f"{planar}.tif"
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": planar, "tile": (64, 64), **_TAGS}
    with tifffile.TiffWriter(path) as writer:
        for index, level in enumerate(levels):
            pixels = np.ascontiguousarray(level.transpose(2, 0, 1)) if planar == "separate" else level
            writer.write(pixels, subfiletype=int(index > 0), metadata=None, **options)
    return path


def as_planes(folder: Path, levels: list[Pixels]) -> Path:
    """A page a level, of which each channel lies apart."""
    return as_one_page(folder, levels, "separate")


def as_pages(folder: Path, levels: list[Pixels]) -> Path:
    """A page for each channel of each level, without a word about channels; in strips."""
    path = folder / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for level in levels:
            for plane in level.transpose(2, 0, 1):
                writer.write(plane, photometric="minisblack", metadata=None, rowsperstrip=32, **_TAGS)
    return path


def as_ome(folder: Path, levels: list[Pixels], *, compression: str | None = "zlib") -> Path:
    """OME-TIFF: a page for each channel, the smaller levels in its SubIFDs."""
    path = folder / "slide.ome.tif"
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    options: dict[str, Any] = {"photometric": "minisblack", "tile": (64, 64), "compression": compression}
    with tifffile.TiffWriter(path, ome=True) as writer:
        first = np.ascontiguousarray(levels[0].transpose(2, 0, 1))
        writer.write(first, subifds=len(levels) - 1, metadata=metadata, **options)
        for level in levels[1:]:
            writer.write(np.ascontiguousarray(level.transpose(2, 0, 1)), subfiletype=1, **options)
    return path


def as_ome_zarr(folder: Path, levels: list[Pixels]) -> Path:
    """OME-Zarr, with colours of its channels that are not those of RGB."""
    colours = ("0000FF", "00FF00", "FF00FF", "FFFF00", "00FFFF")
    channels = [{"label": f"marker {index}", "color": colours[index % 5]} for index in range(levels[0].shape[2])]
    write_ome_zarr(folder / "slide.ome.zarr", levels, omero={"channels": channels})
    return folder / "slide.ome.zarr"


def as_array(folder: Path, levels: list[Pixels]) -> Path:
    """A plain Zarr array of the first level: a field."""
    path = folder / "field.zarr"
    zarr.save_array(str(path), levels[0])
    return path


WRITERS: tuple[Write, ...] = (as_one_page, as_planes, as_pages, as_ome, as_ome_zarr, as_array)


def write_slide(write: Write, folder: Path, pixels: Pixels, *, levels: int = 3) -> tuple[Path, list[Pixels]]:
    """The slide's path, and its levels as they can be read back."""
    arrays = pyramid(pixels, 1 if write is as_array else levels)
    return write(folder, arrays), arrays
