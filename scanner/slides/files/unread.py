"""Formats that are recognised but not supported: what such a file is, and what to do. One table, by first bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scanner.slides.dicom.header import kind_of

#: Of a file's beginning: enough for the marks below, and for the head of XML.
HEAD_BYTES = 4096

_TO_TIFF = "convert it to OME-TIFF or DICOM, with Bio-Formats' bfconvert for one"
_EXPORT = "open it in its own program and save it as TIFF or PNG"
_UNPACK = "unpack it, and name the slide in it"
_AS_PNG = "save it as PNG or TIFF"


@dataclass(frozen=True)
class UnreadFormat:
    """A format that no reader here knows, with what to do about it."""

    name: str
    way_out: str
    #: Whether a file that begins so is of that format.
    begins: Callable[[bytes], bool]


def _at(place: int, *marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks, place)


def _box(*brands: bytes) -> Callable[[bytes], bool]:
    """ISO media: the first box is `ftyp`, its brands are four letters each."""
    return lambda head: head[4:8] == b"ftyp" and any(brand in head[8:64] for brand in brands)


def _text(pattern: bytes) -> Callable[[bytes], bool]:
    """Text, in whatever 8-bit encoding, with or without a byte order mark, in which the pattern stands."""
    search = re.compile(pattern).search
    return lambda head: head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<", b"[")) and search(head) is not None


def _is_lif(head: bytes) -> bool:
    """Blocks of Leica's LIF begin with 0x70, a length, and an asterisk."""
    return head.startswith(b"\x70\0\0\0") and head[8:9] == b"\x2a"


#: The first that fits counts.
UNREAD = (
    UnreadFormat(
        "Philips iSyntax",
        "export it from the Philips system as TIFF or DICOM, or convert it with Philips' SDK or isyntax2raw",
        _text(rb"DPUfsImport"),
    ),
    UnreadFormat(
        "Hamamatsu NDPIS, a list of fluorescence channels in NDPI files",
        "name one of its .ndpi files; several channels together are read from OME-TIFF",
        _text(rb"^[^\[]{0,8}\[NanoZoomer Digital Pathology Image Set\]"),
    ),
    UnreadFormat("Olympus ETS, the pixels of a VSI slide", _TO_TIFF, _at(0, b"SIS\0")),
    UnreadFormat("Leica LIF", _TO_TIFF, _is_lif),
    UnreadFormat("Nikon ND2", _TO_TIFF, _at(0, b"\xda\xce\xbe\x0a")),
    UnreadFormat("JPEG XR", _AS_PNG, _at(0, b"II\xbc\x01")),
    UnreadFormat(
        "an OLE container, as Zeiss ZVI, Motic MDS and Olympus OIB are",
        _TO_TIFF,
        _at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ),
    UnreadFormat("HDF5, as Imaris IMS is", _TO_TIFF, _at(0, b"\x89HDF\r\n\x1a\n")),
    UnreadFormat("an SQLite database that is not a Sakura slide", _EXPORT, _at(0, b"SQLite format 3\0")),
    UnreadFormat("JPEG 2000", _AS_PNG, _at(0, b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    UnreadFormat("JPEG XL", _AS_PNG, _at(0, b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a")),
    UnreadFormat("AVIF", _AS_PNG, _box(b"avif", b"avis")),
    UnreadFormat("HEIC", _AS_PNG, _box(b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")),
    UnreadFormat("a video (MP4, QuickTime)", "save the frame that you mean as PNG or TIFF", _at(4, b"ftyp", b"moov")),
    UnreadFormat("GIF", _AS_PNG, _at(0, b"GIF87a", b"GIF89a")),
    UnreadFormat("an icon (ICO)", _AS_PNG, _at(0, b"\0\0\1\0", b"\0\0\2\0")),
    UnreadFormat("PNM", _AS_PNG, lambda head: re.match(rb"P[1-7][\s#]", head) is not None),
    UnreadFormat("Photoshop's PSD", _AS_PNG, _at(0, b"8BPS")),
    UnreadFormat("OpenEXR", _AS_PNG, _at(0, b"\x76\x2f\x31\x01")),
    UnreadFormat("FITS", _AS_PNG, _at(0, b"SIMPLE  =")),
    UnreadFormat("a NumPy array", "write it as Zarr or TIFF", _at(0, b"\x93NUMPY")),
    UnreadFormat("SVG (vector graphics)", _AS_PNG, _text(rb"<svg[\s>]|<!DOCTYPE svg")),
    UnreadFormat("a Deep Zoom list (DZI)", "name the slide that it was made from", _text(rb"microsoft\.com/deepzoom")),
    UnreadFormat("a web page", "name the slide itself", _text(rb"(?i)<html[\s>]|<!doctype html")),
    UnreadFormat("PDF", _EXPORT, _at(0, b"%PDF-")),
    UnreadFormat("PostScript", _EXPORT, _at(0, b"%!PS", b"\xc5\xd0\xd3\xc6")),
    UnreadFormat("zip (a Zarr in a zip is not read either)", _UNPACK, _at(0, b"PK\x03\x04", b"PK\x05\x06")),
    UnreadFormat("gzip", _UNPACK, _at(0, b"\x1f\x8b")),
    UnreadFormat("xz", _UNPACK, _at(0, b"\xfd7zXZ\0")),
    UnreadFormat("bzip2", _UNPACK, _at(0, b"BZh")),
    UnreadFormat("zstd", _UNPACK, _at(0, b"\x28\xb5\x2f\xfd")),
    UnreadFormat("7-Zip", _UNPACK, _at(0, b"7z\xbc\xaf\x27\x1c")),
    UnreadFormat("RAR", _UNPACK, _at(0, b"Rar!\x1a\x07")),
    UnreadFormat("tar", _UNPACK, _at(257, b"ustar")),
)


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM's; it may have the head of a TIFF before that."""
    return head[128:132] == b"DICM"


def recognise(head: bytes, path: Path) -> str | None:
    """What a file is that no reader knows, and the way out, in words; None if that is not known either."""
    if is_dicom(head):
        return (
            f"DICOM of {kind_of(path)} is not a whole slide that can be read: that is VL Whole Slide Microscopy, as "
            "tiles of JPEG, JPEG 2000 or uncompressed; save other pictures as PNG or TIFF"
        )
    known = next((unread for unread in UNREAD if unread.begins(head)), None)
    return f"{known.name} is not read; {known.way_out}" if known else None


def pixels_elsewhere(path: Path) -> str | None:
    """What a TIFF is whose slide lies in other files (Olympus VSI), and the way out; None if it is its own slide.

    By itself such a file is an overview, which must not be scanned for the slide.
    """
    folder = path.with_name(f"_{path.stem}_")
    if path.suffix.lower() == ".vsi" or (os.path.isdir(folder) and list(folder.glob("stack*/frame_t*.ets"))):
        return f"Olympus VSI is not read: its slide lies in the .ets files of {folder.name}/; {_TO_TIFF}"
    return None
