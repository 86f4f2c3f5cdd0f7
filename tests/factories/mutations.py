"""Files of every format, cut short and with bytes flipped: only our errors, no hang, bounded memory.

Run as a program of its own, since a library in C may take the process down with it:
`python -m tests.factories.mutations FOLDER`.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PIL import Image

from scanner.errors import SlideError
from scanner.slides.czi.slide import has_czi_reader
from scanner.slides.opening import open_image
from tests.factories.bif import TILE, Area, write_bif
from tests.factories.czi import Scene, write_czi
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.factories.vendor import write_mirax, write_ndpi, write_scn, write_vms
from tests.factories.zarr import write_ome_zarr

FIELD = texture(160, 192)
LEVELS = pyramid(FIELD, 2)
FIELDS = {(row, col): texture(64, 64, seed=row + col) for row in range(2) for col in range(2)}
#: Seconds for one file, and bytes that all of them together may add.
PATIENCE, MEMORY = 20.0, 1 << 30


def _pyramid(compression: str, style: str = "generic") -> Callable[[Path], object]:
    return lambda path: write_pyramid(path, FIELD, levels=2, tile=(64, 64), compression=compression, style=style)


def _picture(kind: str) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(FIELD).save(path, kind)


#: The file that is opened, and what writes it, perhaps with others beside it.
WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{
        f"TIFF, {name}": ("a.tif", _pyramid(name))
        for name in ("jpeg", "zlib", "lzw", "packbits", "zstd", "webp", "png")
    },
    "TIFF, JPEG XL": ("a.tif", _pyramid("jpegxl")),
    "TIFF, JPEG 2000": ("a.tif", _pyramid("jpeg2000")),
    "SVS": ("a.svs", _pyramid("jpeg", "aperio")),
    "OME-TIFF": ("a.ome.tif", _pyramid("zlib", "ome")),
    **{name: (f"a.{name}", _picture(name)) for name in ("PNG", "JPEG", "WEBP", "BMP")},
    "NDPI": ("a.ndpi", lambda path: write_ndpi(path, LEVELS)),
    "VMS": ("a.vms", lambda path: write_vms(path, [FIELD], LEVELS[1])),
    "SCN": ("a.scn", lambda path: write_scn(path, LEVELS, origin=(64, 128))),
    "MIRAX": ("a.mrxs", lambda path: write_mirax(path, FIELDS, grid=(2, 2))),
    "BIF": ("a.bif", lambda path: write_bif(path, [Area(texture(2 * TILE - 8, 2 * TILE - 8))])),
    "DICOM": ("level-0.dcm", lambda path: write_dicom_series(path.parent, LEVELS)),
    "CZI": ("a.czi", lambda path: write_czi(path, [Scene(FIELD), Scene(LEVELS[1], top=200)], is_pyramid=True)),
    "Zarr 2": ("a.zarr", lambda path: write_ome_zarr(path, LEVELS, version="0.4")),
    "Zarr 3": ("a.zarr", lambda path: write_ome_zarr(path, LEVELS, version="0.5")),
}


if not has_czi_reader():
    del WRITERS["CZI"]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Cut short, or up to eight bytes changed, half of them near the beginning; or both."""
    changed = bytearray(content)
    if rng.random() < 0.3:
        del changed[int(len(changed) * rng.random()) :]
    if changed and rng.random() < 0.9:
        reach = min(len(changed), 600) if rng.random() < 0.5 else len(changed)
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(reach)] = rng.choice((0, 0xFF, 0x7F, rng.randrange(256)))
    return bytes(changed)


def open_and_read(path: Path) -> bool:
    """Whether the file was opened; its first and last corner of every level are read."""
    with suppress(SlideError), open_image(path, mpp=0.25) as slide:
        for index, level in enumerate(slide.levels):
            for box in ((0, 0, 40, 40), (level.height - 40, level.width - 40, level.height, level.width)):
                with suppress(SlideError):
                    slide.read(index, box)
        return True
    return False


def sweep(folder: Path, rounds: int, seed: int = 16) -> dict[str, int]:
    """Mutations of every format that were opened all the same; AssertionError if one takes too long or too much."""
    opened, before = {}, _peak()
    for name, (file, write) in WRITERS.items():
        place = folder / name.replace(" ", "")
        place.mkdir()
        write(place / file)
        parts = sorted(path for path in place.rglob("*") if path.is_file())
        assert open_and_read(place / file), name
        rng = random.Random(f"{seed} {name}")
        opened[name] = 0
        for round_ in range(rounds):
            part = rng.choice(parts)
            content = part.read_bytes()
            part.write_bytes(mutated(content, rng))
            start = time.monotonic()
            opened[name] += open_and_read(place / file)
            assert time.monotonic() - start < PATIENCE, f"{name}, round {round_}, {part.name}"
            part.write_bytes(content)
        assert _peak() - before < MEMORY, f"{name}: {(_peak() - before) >> 20} MiB"
        shutil.rmtree(place)
    return opened


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(sweep(Path(sys.argv[1]), int(sys.argv[2])))
