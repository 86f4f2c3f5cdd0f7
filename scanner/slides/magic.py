"""What the first bytes of a file say of it, where its name says nothing or something else. Imports no reader."""

from __future__ import annotations

import os

from scanner.regular_files import open_regular

#: Bytes that are enough.
HEAD_BYTES = 512
#: Little and big endian, classic and BigTIFF.
TIFF_HEADS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PICTURE_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
DICOM_PREAMBLE = 128
#: What lies there in place of a slide -> what to do.
_OTHERS = {
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"BZh": "a bzip2 file; unpack it first",
    b"\xfd7zXZ\x00": "an xz file; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"%PDF": "a PDF document",
}
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml version")


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM's."""
    return head[DICOM_PREAMBLE : DICOM_PREAMBLE + 4] == b"DICM"


def begins_as_slide(path: str | os.PathLike[str]) -> bool:
    """Whether a file without a telling name begins as slides and fields do; False if it cannot be read."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return is_dicom(head) or is_webp or head.startswith((*TIFF_HEADS, *_PICTURE_HEADS))


def describe_unknown(head: bytes) -> str:
    """What a file is that no reader knows, as far as its first bytes tell, and the way out."""
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return what
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "a web page or XML, as downloads are that were refused; download the slide again"
    if not head.strip(b"\0"):
        return "only zeros where it should begin, as copies are that were broken off; copy it again"
    known = "neither a slide nor an image that mitoscan knows"
    is_text = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return f"{known}, but text" if is_text else f"{known}; it begins with the bytes {head[:8].hex(' ')}"
