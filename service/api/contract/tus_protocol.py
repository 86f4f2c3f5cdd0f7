"""The tus protocol 1.0.0 (tus.io), as far as it is spoken: its place, its headers, and how they are written."""

from __future__ import annotations

import base64
import binascii

from service.slides_in.multipart import BadRequestError

PREFIX = "/uploads/tus"
VERSION = "1.0.0"
EXTENSIONS = "creation,creation-defer-length,expiration,termination"
OFFSET_BYTES = "application/offset+octet-stream"
MAX_METADATA = 8192
#: Headers of an answer that tell of one upload.
OF_UPLOAD = ("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires")
#: Headers of answers that a page of another origin has to see.
EXPOSED = (
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    *OF_UPLOAD,
)
#: Upload-Length and Upload-Offset are no larger.
MAX_INT = 2**53


def name_in_metadata(metadata: str) -> str:
    """The file's name in Upload-Metadata: pairs of a key and a value in base64, with commas between them."""
    pairs = [pair.strip().partition(" ") for pair in metadata.split(",") if pair.strip()]
    values = {key: value.strip() for key, _, value in pairs}
    try:
        named = base64.b64decode(values.get("filename") or values.get("name") or "", validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise BadRequestError("Upload-Metadata: 'filename' is not UTF-8 text in base64") from error
    return named or "upload"
