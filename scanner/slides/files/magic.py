"""Formats by the first bytes of a file, as its name may be missing or wrong. Imports no reader."""

from __future__ import annotations

import os

from scanner.files.regular_files import open_regular
from scanner.slides.files.unread import is_dicom

#: Little and big endian, classic and BigTIFF.
TIFF_HEADS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
PNG_HEAD, JPEG_HEAD = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def begins_as_slide(path: str | os.PathLike[str]) -> bool:
    """Whether a file without a telling name begins as slides and fields do; False if it cannot be read."""
    try:
        with open_regular(path) as file:
            head = file.read(256)
    except OSError:
        return False
    return is_dicom(head) or is_webp(head) or head.startswith((*TIFF_HEADS, PNG_HEAD, JPEG_HEAD))


def is_webp(head: bytes) -> bool:
    """Whether a file that begins so is a WebP."""
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def describe_unknown(head: bytes) -> str:
    """The message for a file whose format is unknown."""
    if not head.strip(b"\0"):
        return "it begins with zeros only, as an interrupted copy does; copy it again"
    known = "neither a slide nor an image that mitoscan knows"
    text = head.decode("utf-8", "replace")[:-1]  # The last character may be cut.
    if "\ufffd" not in text and all(sign.isprintable() or sign in "\t\r\n" for sign in text):
        return f"{known}, but text"
    return f"{known}: it begins with the bytes {head[:8].hex(' ')}"
