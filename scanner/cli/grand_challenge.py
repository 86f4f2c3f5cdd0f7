"""Grand-Challenge's contract: one image in a folder of inputs, points in millimetres in a folder of outputs.

INPUT/inputs.json                       which inputs there are; not needed
INPUT/images/<slug>/<name>.tif          the image; also .tiff, .png, .mha and what else `open_slide` knows
OUTPUT/mitotic-figures.json             what was found
/opt/ml/model                           a model folder, if one is mounted
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import tifffile

from models.registry import Model
from scanner.errors import DamagedSlideError, OutputError, UnsupportedSlideError
from scanner.exports.grand_challenge import write_points
from scanner.files.result_names import POINTS_NAME
from scanner.result import ScanResult
from scanner.scanning import scan
from scanner.settings import SettingsKeywords

#: The header of an MHA file is text and shorter than this.
_MHA_HEADER_BYTES = 1 << 14


def scan_challenge(
    picture: Path, outputs: Path, model: Model, **keywords: Unpack[SettingsKeywords]
) -> tuple[Path, ScanResult]:
    """Scan the picture of a job and write its points; returns the file written, and the result.

    Raises
    ------
    ScannerError
        It cannot be scanned.
    """
    with _as_slide(picture) as slide:
        result = scan(slide, model, **keywords)
        result.map.close()
    path = outputs / POINTS_NAME
    try:
        outputs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{outputs}: {error.strerror}") from error
    write_points(path, result.candidates, threshold=result.report["settings"]["threshold"])
    return path, result


@contextmanager
def _as_slide(image: Path) -> Iterator[Path]:
    """The image itself; an MHA file as a TIFF, which is removed again."""
    if image.suffix.lower() != ".mha":
        yield image
        return
    with tempfile.TemporaryDirectory(prefix="mitoscan-") as folder:
        slide = Path(folder) / f"{image.stem}.tif"
        pixels, spacing_mm = read_mha(image)
        resolution: Any = {"resolution": (10 / spacing_mm, 10 / spacing_mm), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(slide, pixels, photometric="rgb", tile=(512, 512), metadata=None, **resolution)
        yield slide


def read_mha(path: Path) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], float]:
    """Pixels (h, w, 3) of an MHA file, and millimetres per pixel.

    Raises
    ------
    UnsupportedSlideError
        Not a colour image of eight bits with square pixels, stored in one file.
    DamagedSlideError
        Pixels are missing.
    """
    content = path.read_bytes()
    head, mark, rest = content[:_MHA_HEADER_BYTES].partition(b"ElementDataFile = LOCAL")
    lines = (line.partition("=") for line in head.decode("latin-1").splitlines())
    header = {key.strip(): value.strip() for key, _, value in lines}
    width, height, *depth = [int(size) for size in header.get("DimSize", "0 0").split()]
    spacing = [float(length) for length in header.get("ElementSpacing", "0").split()[:2]]
    kind = header.get("ElementType"), header.get("ElementNumberOfChannels"), mark != b""
    if kind != ("MET_UCHAR", "3", True) or depth not in ([], [1]) or spacing[0] != spacing[-1] or spacing[0] <= 0:
        raise UnsupportedSlideError(f"{path}: needs 8-bit colours, one plane and square pixels, in one MHA file")
    start = len(head) + len(mark) + len(rest[: rest.find(b"\n") + 1])
    data = content[start:]
    try:
        raw = zlib.decompress(data) if header.get("CompressedData", "False") == "True" else data
        return np.frombuffer(raw, np.uint8, height * width * 3).reshape(height, width, 3), spacing[0]
    except (zlib.error, ValueError) as error:
        raise DamagedSlideError(f"{path}: {error}") from error
