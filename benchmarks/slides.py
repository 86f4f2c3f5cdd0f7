"""Slides of any size, generated: JPEG pyramids written tile by tile, so that only a few tiles are ever in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

TILE = 256
#: Different tiles a level is laid out with, in a fixed pseudo-random order.
_VARIANTS = 24
#: Levels are this much smaller than the one before, as Aperio's are.
_DOWNSAMPLE = 4


def write_slide(path: Path, height: int, width: int, *, mpp: float = 0.25, levels: int = 3) -> None:
    """Write a tiled JPEG pyramid (4:2:0, quality 80) of purple blobs on pink: tissue everywhere, the dearest case.

    Tiles are encoded once and repeated, so that writing takes seconds; what they cost to decode and to scan is not
    changed by that.
    """
    tiles = [_encoded(seed) for seed in range(_VARIANTS)]
    description = f"Aperio Image Library\r\n{width}x{height} ({TILE}x{TILE})|AppMag = 40|MPP = {mpp}"
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level in range(levels):
            shape = (height // _DOWNSAMPLE**level, width // _DOWNSAMPLE**level, 3)
            writer.write(
                _laid_out(tiles, shape, seed=level),
                shape=shape,
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=int(level > 0),
                metadata=None,
                description=description if level == 0 else None,
            )


def _laid_out(tiles: list[bytes], shape: tuple[int, ...], *, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for _ in range(-(-shape[0] // TILE) * -(-shape[1] // TILE)):
        yield tiles[rng.integers(len(tiles))]


def _encoded(seed: int) -> bytes:
    """One tile: nuclei of 20 to 40 px on stroma, with grain."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:TILE, :TILE]
    pixels = np.full((TILE, TILE, 3), (225.0, 170.0, 205.0))
    for _ in range(rng.integers(8, 25)):
        row, col, radius = *rng.uniform(0, TILE, 2), rng.uniform(10, 20)
        inside = (rows - row) ** 2 + (cols - col) ** 2 < radius**2
        pixels[inside] = np.array((105.0, 60.0, 140.0)) + rng.normal(0, 12, 3)
    pixels += rng.normal(0, 8, pixels.shape)
    encoded: bytes = imagecodecs.jpeg8_encode(
        pixels.clip(0, 255).astype(np.uint8), level=80, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )
    return encoded
