"""Masks as other programs write them: what is black in a picture, and text in any encoding, packed or not."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from scanner.errors import MaskError
from scanner.masks import find_mask
from tests.test_masks import box, cells, polygon

#: The upper half is scanned.
UPPER = np.zeros((320, 330), np.bool_)
UPPER[:160] = True


def _write_tiff(path: Path, kind: str, bits: int) -> None:
    top = 2**bits - 1
    dtype = np.uint16 if bits > 8 else np.uint8
    if kind == "WhiteIsZero":
        values = np.where(UPPER, 0, top).astype(dtype)
        tifffile.imwrite(path, values.astype(bool) if bits == 1 else values, photometric="miniswhite")
    elif kind == "BlackIsZero":
        values = np.where(UPPER, 1, 0).astype(dtype)
        tifffile.imwrite(path, values.astype(bool) if bits == 1 else values, photometric="minisblack")
    elif kind == "palette":
        colormap = np.zeros((3, 2**bits), np.uint16)
        colormap[1, 0] = 200 << 8  # Index 0 is green, index 1 black.
        tifffile.imwrite(path, np.where(UPPER, 0, 1).astype(dtype), photometric="palette", colormap=colormap)
    else:
        colours = np.zeros((*UPPER.shape, 4), dtype)
        colours[UPPER, 1] = 1
        colours[..., 3] = top
        planes = np.moveaxis(colours, -1, 0)
        if kind == "planes":
            tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"])
        else:
            tifffile.imwrite(path, colours, photometric="rgb", extrasamples=["unassalpha"])


@pytest.mark.parametrize(
    ("kind", "bits"),
    [(kind, bits) for kind in ("WhiteIsZero", "BlackIsZero") for bits in (1, 8, 16)]
    + [("palette", 8), ("RGBA", 8), ("RGBA", 16), ("planes", 8)],
)
def test_a_tiff_is_scanned_where_it_is_not_black(tmp_path: Path, kind: str, bits: int) -> None:
    _write_tiff(tmp_path / "mask.tif", kind, bits)
    found = cells(tmp_path / "mask.tif")
    assert found[:20].all()
    assert not found[20:].any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_a_png_is_scanned_where_it_is_not_black(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.where(UPPER, 255, 0).astype(np.uint16 if mode == "I;16" else np.uint8))
    (grey if mode in {"L", "I;16"} else grey.convert(mode)).save(tmp_path / "mask.png")
    found = cells(tmp_path / "mask.png")
    assert found[:20].all()
    assert not found[20:].any()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_geojson_is_read_in_any_encoding_packed_or_not(tmp_path: Path, encoding: str, packed: bool) -> None:
    content = json.dumps(polygon(box(0, 0, 330, 160))).encode(encoding)
    path = tmp_path / ("mask.geojson.gz" if packed else "mask.geojson")
    path.write_bytes(gzip.compress(content) if packed else content)
    found = cells(path)
    assert found[:20].all()
    assert not found[20:].any()


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".geojson.gz", ".json.gz", ".png", ".tif"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_folder_finds_a_mask_however_its_name_is_stored(tmp_path: Path, suffix: str, stored: str) -> None:
    slide = Path(unicodedata.normalize("NFC", "Präparat 1.svs"))
    path = tmp_path / unicodedata.normalize(stored, f"Präparat 1{suffix}")
    path.write_bytes(b"[]")
    assert find_mask(tmp_path, slide) == path


def test_a_packed_file_that_is_broken_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps([polygon(box(0, 0, 330, 160))]).encode())[:-9])
    with pytest.raises(MaskError, match=r"mask\.geojson\.gz"):
        cells(path)
