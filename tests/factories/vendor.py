"""Slides as vendors lay them out, with no more in them than OpenSlide asks for: NDPI, VMS, SCN and MIRAX."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.factories.slides import Pixels

#: Centimetres -> the resolution tags of 0.25 um/px.
PX_PER_CM = 40_000
SLIDE_ID = "0123456789ABCDEF0123456789ABCDEF"
LEICA = """<?xml version="1.0"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection sizeX="{across}" sizeY="{down}">
<image><creationDate>2010-10-10T10:10:10</creationDate><device model="Leica SCN400" version="1.4"/>
<pixels sizeX="{width}" sizeY="{height}">{dimensions}</pixels>
<view sizeX="{view_across}" sizeY="{view_down}" offsetX="{left}" offsetY="{top}"/>
<scanSettings><objectiveSettings><objective>40</objective></objectiveSettings><illuminationSettings>
<numericalAperture>0.75</numericalAperture><illuminationSource>{light}</illuminationSource>
</illuminationSettings></scanSettings></image></collection></scn>"""
#: Nanometres: the unit of Leica's places.
CLICKS = 250


def write_ndpi(path: Path, levels: list[Pixels], *, mcu_starts: bool = True) -> list[Pixels]:
    """Hamamatsu NDPI: one JPEG strip a level, cut into restart intervals; returns the levels as their JPEGs decode."""
    coded = [_jpeg(level, restart_marker_blocks=4) for level in levels]
    body, places = bytearray(b"II*\x00" + bytes(4)), []
    for level, jpeg in zip(levels, coded, strict=True):
        places.append((_ndpi_tags(level, jpeg, len(body), lens=40.0 * level.shape[1] / levels[0].shape[1]), jpeg))
        body += jpeg + bytes(len(jpeg) % 2)
    link = 4
    for tags, jpeg in places:
        if mcu_starts:
            tags[65426] = (4, _restarts(jpeg))
        struct.pack_into("<I", body, link, len(body))
        link = _append_directory(body, tags)
    path.write_bytes(body)
    return [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in coded]


def _jpeg(pixels: Pixels, **options: int) -> bytes:
    """4:4:4, so that each piece decodes to the same pixels as the whole."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, subsampling="4:4:4", **options)
    return file.getvalue()


def _restarts(jpeg: bytes) -> list[int]:
    """Where the entropy-coded pieces between restart markers begin."""
    scan = jpeg.index(b"\xff\xda")
    first = scan + 2 + int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
    markers = [
        place for place in range(first, len(jpeg) - 1) if jpeg[place] == 0xFF and jpeg[place + 1] in range(0xD0, 0xD8)
    ]
    return [first, *(place + 2 for place in markers)]


def _ndpi_tags(level: Pixels, jpeg: bytes, offset: int, *, lens: float) -> dict[int, tuple[int, list[float]]]:
    """Tag -> (TIFF type, values)."""
    height, width = level.shape[:2]
    return {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8, 8, 8]),
        259: (3, [7]),
        262: (3, [6]),
        271: (2, list(b"Hamamatsu\0")),
        273: (4, [offset]),
        277: (3, [3]),
        278: (4, [height]),
        279: (4, [len(jpeg)]),
        282: (5, [PX_PER_CM, 1]),
        283: (5, [PX_PER_CM, 1]),
        296: (3, [3]),
        65420: (4, [1]),
        65421: (11, [lens]),
        65424: (9, [0]),
    }


def _append_directory(body: bytearray, tags: dict[int, tuple[int, list[float]]]) -> int:
    """Append a classic TIFF directory and its values; returns where the link to the next one stands."""
    letters = {2: "B", 3: "H", 4: "I", 5: "I", 9: "i", 11: "f"}
    values = {tag: struct.pack(f"<{len(numbers)}{letters[kind]}", *numbers) for tag, (kind, numbers) in tags.items()}
    start = len(body)
    link = start + 2 + 12 * len(tags)
    body += struct.pack("<H", len(tags))
    beyond = bytearray()
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        packed = values[tag]
        body += struct.pack("<HHI", tag, kind, len(numbers) // (2 if kind == 5 else 1))
        if len(packed) > 4:
            body += struct.pack("<I", link + 4 + len(beyond))
            beyond += packed + bytes(len(packed) % 2)
        else:
            body += packed.ljust(4, b"\0")
    body += bytes(4) + beyond
    return link


def write_vms(path: Path, columns: list[Pixels], overview: Pixels) -> list[Pixels]:
    """Hamamatsu VMS: a text file that names JPEGs side by side and a smaller overview; returns them as they decode."""
    coded = [_jpeg(pixels, restart_marker_blocks=4) for pixels in [*columns, overview]]
    names = [*(f"{path.stem}({column},0).jpg" for column in range(len(columns))), f"{path.stem}_map2.jpg"]
    for name, jpeg in zip(names, coded, strict=True):
        (path.parent / name).write_bytes(jpeg)
    height, width = columns[0].shape[0], sum(column.shape[1] for column in columns)
    files = [f"ImageFile{f'({column},0)' if column else ''}={name}" for column, name in enumerate(names[:-1])]
    lines = ["[Virtual Microscope Specimen]", "NoLayers=1", f"NoJpegColumns={len(columns)}", "NoJpegRows=1", *files]
    lines += [f"MapFile={names[-1]}", f"PhysicalWidth={width * CLICKS}", f"PhysicalHeight={height * CLICKS}"]
    path.write_text("\n".join([*lines, "SourceLens=40", ""]), encoding="utf-8")
    return [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in coded]


def write_scn(
    path: Path, levels: list[Pixels], *, origin: tuple[int, int] = (0, 0), light: str = "brightfield"
) -> list[Pixels]:
    """Leica SCN: BigTIFF, levels named by XML, lying at `origin` (row, col) of a larger collection.

    Returns the levels as their JPEGs decode.
    """
    height, width = levels[0].shape[:2]
    dimensions = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{index}" ifd="{index}"/>'
        for index, level in enumerate(levels)
    )
    description = LEICA.format(
        across=(width + 2 * origin[1]) * CLICKS,
        down=(height + 2 * origin[0]) * CLICKS,
        width=width,
        height=height,
        dimensions=dimensions,
        view_across=width * CLICKS,
        view_down=height * CLICKS,
        left=origin[1] * CLICKS,
        top=origin[0] * CLICKS,
        light=light,
    )
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for index, level in enumerate(levels):
            writer.write(
                level,
                description=description if index == 0 else None,
                tile=(64, 64),
                photometric="rgb",
                compression="jpeg",
                resolution=(PX_PER_CM, PX_PER_CM),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    with tifffile.TiffFile(path) as tiff:
        return [page.asarray() for page in tiff.pages]


def write_mirax(
    path: Path, tiles: dict[tuple[int, int], Pixels], *, grid: tuple[int, int], levels: int = 2, overlap: int = 0
) -> dict[tuple[int, int], Pixels]:
    """3DHISTECH MIRAX: `tiles` at (row, col) of a `grid` of (rows, cols), the others never scanned.

    Every level keeps the tile's size; a tile of level n holds 2**n x 2**n of level 0. Neighbours share `overlap` px of
    level 0, as camera fields do. Returns the tiles of level 0 as their JPEGs decode.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(_jpeg(np.full((8, 8, 3), 255, np.uint8)))
    side = next(iter(tiles.values())).shape[0]
    data, pages = bytearray(b"header"), []
    held = tiles
    for level in range(levels):
        step = 2**level
        records = []
        for (row, col), tile in sorted(held.items()):
            jpeg = _jpeg(tile)
            records.append((row * step * grid[1] + col * step, len(data), len(jpeg), 0))
            data += jpeg
        pages.append(records)
        held = _halved_tiles(held, side)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mirax_index(pages))
    (folder / "Slidedat.ini").write_text(_slidedat(side, grid, levels, overlap), encoding="utf-8")
    return {place: np.asarray(Image.open(io.BytesIO(_jpeg(tile)))) for place, tile in tiles.items()}


def _halved_tiles(tiles: dict[tuple[int, int], Pixels], side: int) -> dict[tuple[int, int], Pixels]:
    half = side // 2
    result: dict[tuple[int, int], Pixels] = {}
    for (row, col), tile in tiles.items():
        small = tile.reshape(half, 2, half, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
        target = result.setdefault((row // 2, col // 2), np.full((side, side, 3), 255, np.uint8))
        target[row % 2 * half :, col % 2 * half :][:half, :half] = small
    return result


def _mirax_index(pages: list[list[tuple[int, int, int, int]]]) -> bytes:
    """Version, slide id, then pointers: to the list of levels, each to a page of (image, offset, length, file)."""
    head = b"01.02" + SLIDE_ID.encode()
    root = len(head)
    first = root + 8  # behind the pointers to both roots, hierarchical and not
    index = bytearray(head + struct.pack("<ii", first, 0)) + bytes(4 * len(pages))
    for level, records in enumerate(pages):
        struct.pack_into("<i", index, first + 4 * level, len(index))
        index += struct.pack("<iiii", 0, len(index) + 8, len(records), 0)
        for record in records:
            index += struct.pack("<iiii", *record)
    return bytes(index)


def _slidedat(side: int, grid: tuple[int, int], levels: int, overlap: int) -> str:
    sections = "\n".join(f"HIER_0_VAL_{level}_SECTION = LEVEL_{level}" for level in range(levels))
    details = "\n".join(
        f"""[LEVEL_{level}]
OVERLAP_X = {overlap / 2**level}
OVERLAP_Y = {overlap / 2**level}
MICROMETER_PER_PIXEL_X = {0.25 * 2**level}
MICROMETER_PER_PIXEL_Y = {0.25 * 2**level}
IMAGE_FORMAT = JPEG
IMAGE_FILL_COLOR_BGR = 16777215
DIGITIZER_WIDTH = {side}
DIGITIZER_HEIGHT = {side}
IMAGE_CONCAT_FACTOR = {min(level, 1)}"""
        for level in range(levels)
    )
    return f"""[GENERAL]
SLIDE_VERSION = 01.02
SLIDE_ID = {SLIDE_ID}
IMAGENUMBER_X = {grid[1]}
IMAGENUMBER_Y = {grid[0]}
OBJECTIVE_MAGNIFICATION = 20
[HIERARCHICAL]
HIER_COUNT = 1
NONHIER_COUNT = 0
INDEXFILE = Index.dat
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = {levels}
{sections}
[DATAFILE]
FILE_COUNT = 1
FILE_0 = Data0000.dat
{details}
"""
