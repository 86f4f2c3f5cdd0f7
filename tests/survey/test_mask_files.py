"""Masks as other programs write them: what is black in a picture, and text in any encoding, packed or not."""

from __future__ import annotations

import gzip
import json
import os
import unicodedata
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from scanner.errors import MaskError
from scanner.survey.mask_files import describe_mask, find_mask
from tests.survey.test_masks import box, cells, polygon

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


@pytest.mark.parametrize("value", [1, 255, 256, 2**16 - 1])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_no_label_of_16_bits_is_black(tmp_path: Path, samples: int, value: int) -> None:
    pixels = np.zeros((*UPPER.shape, samples), np.uint16)
    if samples in {2, 4}:
        pixels[..., -1] = 2**16 - 1
    pixels[UPPER, 0] = value
    (tmp_path / "mask.png").write_bytes(imagecodecs.png_encode(pixels))
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


@pytest.mark.parametrize(
    "values",
    [
        np.where(UPPER, 70000, 0).astype(np.uint32),
        np.where(UPPER, 0.01, np.nan).astype(np.float32),
        np.where(UPPER, 3, -1).astype(np.int16),
    ],
)
def test_labels_and_shares_of_any_kind_are_scanned_above_nothing(tmp_path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", values, photometric="minisblack")
    found = cells(tmp_path / "mask.tif")
    assert found[:20].all()
    assert not found[20:].any()


@pytest.mark.parametrize(
    ("values", "photometric", "reason"),
    [
        (np.zeros((2, 40, 41), np.uint8), "minisblack", r"several planes \(. = 2\); save it as"),
        (np.zeros((40, 41), np.float32), "miniswhite", "float32 has no black; save it as"),
        (np.zeros((40, 41, 4), np.uint8), "separated", "neither grey, nor RGB"),
    ],
)
def test_tiffs_that_do_not_say_what_black_is_are_refused_in_words(
    tmp_path: Path, values: np.ndarray, photometric: str, reason: str
) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", values, photometric=photometric)
    with pytest.raises(MaskError, match=reason):
        cells(tmp_path / "mask.tif")


def test_what_is_no_mask_is_said_in_words_and_nothing_is_waited_for(tmp_path: Path) -> None:
    contents = {
        "mask.png.gz": (gzip.compress(b"\x89PNG\r\n\x1a\n"), "unpack a picture first"),
        "text.png": (b"a mask", "but text"),
        "half.png": (b"\x89PNG\r\n\x1a\nhalf", r"damaged \(.*\); save it again"),
        "half.tif": (b"II*\0\x08\0\0\0", r"damaged \(.*\); save it again"),
        "none.tif": (b"", "the file is empty"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MaskError, match=reason) as raised:
            cells(tmp_path / name)
        assert str(raised.value).startswith(str(tmp_path / name))
    os.mkfifo(tmp_path / "pipe")
    for look in (cells, lambda path: describe_mask(path, Path("a.tif"))):
        with pytest.raises(MaskError, match="a named pipe, not a file"):
            look(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("slide", "wanted", "others"),
    [
        ("s.tif", "s.geojson", ["S.geojson"]),
        ("S.TIF", "S.geojson", ["s.geojson"]),
        ("a.svs", "A.GEOJSON", []),
        ("a.svs", "a.svs.geojson", ["a.geojson", "a.tif.geojson"]),
        ("a.svs", "a.svs/tissue.geojson", ["a.tif/tissue.geojson"]),
        ("M\u00fc.svs", "M\u00fc.geojson", ["Mu\u0308.geojson"]),
        ("Fall (1,0) [HE].svs", "Fall (1,0) [HE].geojson", []),
        ("\udcfc.svs", "\udcfc.geojson", []),
    ],
)
def test_the_mask_that_bears_the_slides_name_best_is_taken(
    tmp_path: Path, slide: str, wanted: str, others: list[str]
) -> None:
    for name in (wanted, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"[]")
    assert find_mask(tmp_path, tmp_path / "slides" / slide) == tmp_path / wanted


def test_masks_of_equal_standing_are_named(tmp_path: Path) -> None:
    for name in ("A.geojson", "a.GEOJSON", "b.geojson"):
        (tmp_path / name).write_bytes(b"[]")
    with pytest.raises(MaskError, match=r"needs one mask for a\.svs, holds A\.geojson and a\.GEOJSON"):
        find_mask(tmp_path, Path("a.svs"))
