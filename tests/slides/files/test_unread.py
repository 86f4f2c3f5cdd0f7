"""Formats that are not read are refused by their names, with the way out; no file is taken for what it is not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from scanner.errors import UnsupportedSlideError
from scanner.slides import open_slide
from scanner.slides.files.unread import HEAD_BYTES
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import texture, write_pyramid

FIELD = texture(48, 64)
PHILIPS = (
    '<DataObject ObjectType="DPUfsImport">\n<Attribute Name="PIM_DP_UFS_INTERFACE_VERSION" Group="0x301D" '
    'Element="0x1001" PMSVR="IString">5.0</Attribute>\n</DataObject>\n\x04'
)
NDPIS = "[NanoZoomer Digital Pathology Image Set]\r\nNoImages=2\r\nImage0=a-DAPI.ndpi\r\nImage1=a-FITC.ndpi\r\n"


def by_pil(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(FIELD).save(file, kind)
    return file.getvalue()


def a_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0/.zarray", "{}")
    return file.getvalue()


def a_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("slide.svs"))
    return file.getvalue()


def a_database() -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("create table slides (name text)")
    return bytes(database.serialize())


def a_numpy_array() -> bytes:
    file = io.BytesIO()
    np.save(file, FIELD)
    return file.getvalue()


#: What is written -> what is said. Written by the format's own library where the environment has one.
CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "iSyntax": (lambda: PHILIPS.encode() + bytes(5000), r"Philips iSyntax is not read; .*TIFF or DICOM"),
    "iSyntax with a prolog": (
        lambda: b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>\n' + PHILIPS.encode() + bytes(50),
        "Philips iSyntax",
    ),
    "NDPIS": (NDPIS.encode, r"Hamamatsu NDPIS.*name one of its \.ndpi"),
    "NDPIS with a byte order mark": (lambda: NDPIS.encode("utf-8-sig"), "Hamamatsu NDPIS"),
    "ETS": (lambda: b"SIS\0" + bytes(60) + b"ETS\0" + bytes(200), "Olympus ETS.*bfconvert"),
    "LIF": (lambda: b"\x70\0\0\0\x40\0\0\0\x2a" + "<LMSDataContainerHeader".encode("utf-16-le"), "Leica LIF"),
    "ND2": (lambda: b"\xda\xce\xbe\x0a" + bytes(100), "Nikon ND2"),
    "ZVI": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "OLE container, as Zeiss ZVI"),
    "IMS": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5, as Imaris IMS"),
    "a database": (a_database, "an SQLite database that is not"),
    "JP2": (lambda: by_pil("JPEG2000"), "JPEG 2000 is not read; save it as PNG"),
    "a JPEG 2000 codestream": (lambda: imagecodecs.jpeg2k_encode(FIELD, codecformat="j2k"), "JPEG 2000"),
    "JPEG XL": (lambda: imagecodecs.jpegxl_encode(FIELD), "JPEG XL"),
    "JPEG XL in boxes": (lambda: imagecodecs.jpegxl_encode(FIELD, usecontainer=True), "JPEG XL"),
    "JPEG XR": (lambda: imagecodecs.jpegxr_encode(FIELD), "JPEG XR"),
    "AVIF": (lambda: imagecodecs.avif_encode(FIELD), "AVIF"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC"),
    "MP4": (lambda: b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(50), "a video"),
    "GIF": (lambda: by_pil("GIF"), "GIF"),
    "ICO": (lambda: by_pil("ICO"), "an icon"),
    "PPM": (lambda: by_pil("PPM"), "PNM"),
    "PDF": (lambda: by_pil("PDF"), "PDF is not read; open it in its own program"),
    "EPS": (lambda: by_pil("EPS"), "PostScript"),
    "SVG": (lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', r"SVG \(vector graphics\)"),
    "DZI": (
        lambda: b'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" TileSize="254"/>',
        "Deep Zoom list .*the slide that it was made from",
    ),
    "HTML": (lambda: b"<!DOCTYPE html>\n<html><body>not found</body></html>", "a web page"),
    "NumPy": (a_numpy_array, "a NumPy array is not read; write it as Zarr or TIFF"),
    "zip": (a_zip, "zip .*is not read; unpack it"),
    "gzip": (lambda: gzip.compress(by_pil("PNG")), "gzip is not read; unpack it"),
    "xz": (lambda: lzma.compress(b"slide"), "xz is"),
    "bzip2": (lambda: bz2.compress(b"slide"), "bzip2 is"),
    "zstd": (lambda: imagecodecs.zstd_encode(b"slide"), "zstd is"),
    "tar": (a_tar, "tar is not read; unpack it"),
}


@pytest.mark.parametrize("suffix", ["", ".svs"])
@pytest.mark.parametrize("name", CASES)
def test_a_format_that_is_not_read_is_refused_by_its_name(tmp_path: Path, name: str, suffix: str) -> None:
    write, said = CASES[name]
    path = tmp_path / f"slide{suffix}"
    path.write_bytes(write())
    with pytest.raises(UnsupportedSlideError, match=rf"slide{suffix}: .*{said}"):
        open_slide(path)


@pytest.mark.parametrize("name", ["slide.vsi", "slide.VSI", "slide.tif"])
def test_an_olympus_slide_is_not_its_overview(tmp_path: Path, name: str) -> None:
    write_pyramid(tmp_path / name, texture(64, 64), levels=1)
    if name.endswith(".tif"):  # Then its folder tells.
        (tmp_path / "_slide_" / "stack1").mkdir(parents=True)
        (tmp_path / "_slide_" / "stack1" / "frame_t.ets").write_bytes(b"SIS\0")
    with pytest.raises(UnsupportedSlideError, match=r"Olympus VSI is not read: .*\.ets files of _slide_/; convert"):
        open_slide(tmp_path / name)


def test_a_folder_of_another_kind_beside_a_tiff_is_no_matter(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.tif", texture(64, 64), levels=1)
    (tmp_path / "_slide_").mkdir()
    with open_slide(tmp_path / "slide.tif") as slide:
        assert slide.levels[0].width == 64


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("CT_small.dcm", "CT"),
        ("MR_small.dcm", "MR"),
        ("SC_rgb_jpeg.dcm", "secondary capture"),
        ("reportsi.dcm", "a report"),
        ("rtdose.dcm", "radiotherapy"),
        ("MR_small_bigendian.dcm", "MR"),
        ("meta_missing_tsyntax.dcm", ""),
    ],
)
def test_dicom_that_is_no_slide_says_what_it_is(tmp_path: Path, file: str, kind: str) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs the extra `dicom`")
    source = Path(pydicom.__file__).parent / "data" / "test_files" / file
    if not source.is_file():
        pytest.skip(f"this pydicom has no {file}")
    shutil.copy(source, tmp_path / "slide.dcm")
    with pytest.raises(UnsupportedSlideError, match=rf"slide\.dcm: DICOM of {kind}.* is not a whole slide .*PNG"):
        open_slide(tmp_path / "slide.dcm")


def test_what_is_read_is_not_refused(tmp_path: Path, example_slide: Path) -> None:
    # The marks of other formats stand in its bytes, but not where they count.
    shutil.copy(example_slide, tmp_path / "slide.isyntax")
    Image.fromarray(FIELD).save(tmp_path / "field.gif", format="PNG")
    tifffile.imwrite(tmp_path / "field.pdf", FIELD, photometric="rgb", description="<svg DPUfsImport %PDF- ftypavif")
    write_dicom_series(tmp_path, [FIELD])
    for path in (tmp_path / name for name in ("slide.isyntax", "field.gif", "field.pdf", "level-0.dcm")):
        with open_slide(path, mpp=0.25) as slide:
            assert slide.levels[0].width in (64, 2220)


def test_the_head_is_enough_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"GIF89a")
    os.truncate(path, 2**34)  # A hole: it takes no room, but whoever read it whole would not end.
    assert HEAD_BYTES < 2**16
    with pytest.raises(UnsupportedSlideError, match="GIF"):
        open_slide(path)


def test_pages_of_a_kind_that_is_not_read_are_refused_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(FIELD[:, :, 0].astype(np.float32), photometric="minisblack", metadata=None)
        writer.write(FIELD[::2, ::2, 0].astype(np.float32), photometric="minisblack", metadata=None)
    with pytest.raises(UnsupportedSlideError, match=r"pages\.tif: .*32-bit"):
        open_slide(path)
