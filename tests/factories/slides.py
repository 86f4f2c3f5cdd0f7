"""Slides made for tests: a stained-looking texture, written by tifffile as the scanners write it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from scanner.slides import Slide

Pixels = npt.NDArray[np.uint8]


def texture(height: int, width: int, *, seed: int = 0, blob: int = 16) -> Pixels:
    """Purple blobs of about `blob` px on pink, with grain: something that codecs and filters must work for."""
    rng = np.random.default_rng(seed)
    rows, cols = height // blob + 2, width // blob + 2
    coarse = np.kron(rng.random((rows, cols)), np.ones((blob, blob)))[:height, :width, None]
    grain = rng.normal(0, 8, (height, width, 3))
    stained = np.where(coarse < 0.3, (105, 60, 140), (225, 170, 205)) + 30 * coarse + grain
    return stained.clip(0, 255).astype(np.uint8)


def halved(pixels: Pixels) -> Pixels:
    """Half as many rows and columns, each the mean of 2 x 2; an odd last row or column is dropped."""
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    quads = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return quads.mean(axis=(1, 3)).round().astype(np.uint8)


def pyramid(pixels: Pixels, levels: int) -> list[Pixels]:
    """`pixels` and its halvings."""
    result = [pixels]
    while len(result) < levels:
        result.append(halved(result[-1]))
    return result


def whole(slide: Slide, level: int = 0) -> Pixels:
    """All pixels of a level."""
    return slide.read(level, (0, 0, slide.levels[level].height, slide.levels[level].width))


def write_pyramid(
    path: Path, pixels: Pixels, *, levels: int = 3, mpp: float | None = 0.25, style: str = "aperio", **options: Any
) -> list[Pixels]:
    """Write a tiled pyramid; returns its levels as they were before compression.

    `style` is "aperio" (mpp in the description), "generic" (mpp in the tags) or "ome" (mpp in OME-XML, levels in
    SubIFDs). `options` go to tifffile, e.g. compression="jpeg" (which means 4:2:0).
    """
    arrays = pyramid(pixels, levels)
    # Copied, because tifffile writes into compressionargs.
    options = deepcopy({"photometric": "rgb", "tile": (128, 128), "metadata": None} | options)
    with tifffile.TiffWriter(path, bigtiff=style == "ome", ome=style == "ome") as writer:
        if style == "ome":
            size = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            writer.write(arrays[0], subifds=levels - 1, **options | {"metadata": {"axes": "YXS", **size}})
        elif style == "aperio":
            writer.write(arrays[0], description=aperio_description(pixels, mpp), **options)
        else:
            writer.write(arrays[0], **_resolution(mpp), **options)
        for array in arrays[1:]:
            writer.write(array, subfiletype=1, **options)
    return arrays


def damage_tile(path: Path, tile: int, *, level: int = 0) -> None:
    """Overwrite a TIFF tile of a level in the main chain with what is no JPEG."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[level]
        offset, size = page.dataoffsets[tile], page.databytecounts[tile]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    path.write_bytes(bytes(content))


def aperio_description(pixels: Pixels, mpp: float | None) -> str:
    """As Aperio writes it, in so far as readers look at it."""
    height, width = pixels.shape[:2]
    said = "" if mpp is None else f"|MPP = {mpp}"
    return f"Aperio Image Library v12.0.0\r\n{width}x{height} [0,0 {width}x{height}] (128x128)|AppMag = 40{said}"


def _resolution(mpp: float | None) -> dict[str, Any]:
    if mpp is None:
        return {}
    return {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
