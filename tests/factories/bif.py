"""Ventana BIF for tests: areas of TIFF tiles that overlap, with the XML that OpenSlide's reader asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from tests.factories.slides import Pixels, halved

TILE = 64
XMP = 700
ISCAN = (
    '<Metadata><iScan Magnification="40" ScanRes="{mpp}" BuildVersion="3.3.1.1" UnitNumber="1" '
    'UserName="x"><AOI0 Left="0" Top="0" Right="1" Bottom="1"/></iScan></Metadata>'
)


@dataclass(frozen=True)
class Area:
    """An area of interest: its picture, and where its top left lies among the areas, in level-0 px."""

    pixels: Pixels
    top: int = 0
    left: int = 0


def write_bif(path: Path, areas: list[Area], *, overlap: int = 8, levels: int = 2, mpp: float = 0.25) -> None:
    """Write areas as tiles that share `overlap` px with their neighbours.

    An area's picture must be of n * (TILE - overlap) + overlap px a side, and of two tiles or more. The tiles of all
    areas stand in one TIFF grid, area below area; a reduced level is that grid halved, and its overlaps are too.
    """
    step = TILE - overlap
    cut = [_cut(area.pixels, step) for area in areas]
    across = max(len(rows[0]) for rows in cut)
    across += across % 2  # So that a halved grid is made of whole tiles.
    blank = np.full((TILE, TILE, 3), 255, np.uint8)
    rows = [[*row, *[blank] * (across - len(row))] for area in cut for row in area]
    rows += [[blank] * across] * (len(rows) % 2)
    level = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    options = {"tile": (TILE, TILE), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        iscan = ISCAN.format(mpp=mpp).encode()
        writer.write(
            halved(halved(level)),
            description="Label_Image",
            photometric="rgb",
            metadata=None,
            extratags=[(XMP, 1, len(iscan), iscan, True)],
        )
        for index in range(levels):
            stitch = _encode_info(areas, cut, overlap).encode()
            tags = [(XMP, 1, len(stitch), stitch, True)] if index == 0 else []
            writer.write(
                level, description=f"level={index} mag={40 / 2**index:g} quality=95", extratags=tags, **options
            )
            level = halved(level)


def _cut(pixels: Pixels, step: int) -> list[list[Pixels]]:
    """The tiles of an area, row by row."""
    rows, cols = (range(_tiles(side, step)) for side in pixels.shape[:2])
    return [[_tile(pixels, row, col, step) for col in cols] for row in rows]


def _tiles(side: int, step: int) -> int:
    assert (side - (TILE - step)) % step == 0, side
    return (side - (TILE - step)) // step


def _tile(pixels: Pixels, row: int, col: int, step: int) -> Pixels:
    return pixels[row * step : row * step + TILE, col * step : col * step + TILE]


def _encode_info(areas: list[Area], cut: list[list[list[Pixels]]], overlap: int) -> str:
    """EncodeInfo: of each area its tiles, its place from below, and every joint of two tiles."""
    bottom = max(area.top + area.pixels.shape[0] for area in areas)
    infos, origins, first_row = [], [], 0
    for index, (area, rows) in enumerate(zip(areas, cut, strict=True)):
        down, across = len(rows), len(rows[0])
        place = bottom - area.top - area.pixels.shape[0]
        infos.append(
            f'<ImageInfo AOIScanned="1" AOIIndex="{index}" NumRows="{down}" NumCols="{across}" Width="{TILE}" '
            f'Height="{TILE}" Pos-X="{area.left}" Pos-Y="{place}">{_joints(down, across, overlap)}</ImageInfo>'
        )
        origins.append(f'<AOI{index} OriginX="0" OriginY="{first_row * TILE}"/>')
        first_row += down
    stitched = f"<SlideStitchInfo>{''.join(infos)}</SlideStitchInfo>"
    return f"<EncodeInfo>{stitched}<AoiOrigin>{''.join(origins)}</AoiOrigin></EncodeInfo>"


def _joints(down: int, across: int, overlap: int) -> str:
    joints = []
    for row in range(down):
        for col in range(across):
            if col + 1 < across:
                joints.append(("RIGHT", (row, col), (row, col + 1), overlap, 0))
            if row:
                joints.append(("UP", (row, col), (row - 1, col), 0, overlap))
    return "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="98" Direction="{direction}" '
        f'Tile1="{_number(*first, down, across)}" Tile2="{_number(*second, down, across)}" '
        f'OverlapX="{x}" OverlapY="{y}"/>'
        for direction, first, second, x, y in joints
    )


def _number(row: int, col: int, down: int, across: int) -> int:
    """Tiles count from 1 at the bottom left, to and fro, as the stage moves."""
    from_below = down - 1 - row
    return from_below * across + (across - 1 - col if from_below % 2 else col) + 1
