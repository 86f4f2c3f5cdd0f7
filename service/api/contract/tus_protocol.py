"""The parts of the tus protocol 1.0.0 (tus.io) that are supported: path, headers, and the syntax of Upload-Metadata."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from service.slides_in.multipart import BadRequestError

PREFIX = "/uploads/tus"
VERSION = "1.0.0"
EXTENSIONS = "creation,creation-defer-length,expiration,termination"
OFFSET_BYTES = "application/offset+octet-stream"
MAX_METADATA = 8192
#: Headers of an answer about one upload.
OF_UPLOAD = ("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires")
#: Headers of answers that pages of other origins may read (CORS).
EXPOSED = (
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    *OF_UPLOAD,
)
#: Largest Upload-Length and Upload-Offset.
MAX_INT = 2**53


def complete_description(document: dict[str, Any]) -> None:
    """Say in an OpenAPI document what FastAPI cannot: that HEAD has no body, and that no version is no version.

    The version is not said to be required: without it the answer is 412, which is tus's own.
    """
    for path, operations in document["paths"].items():
        for method, operation in operations.items() if path.startswith(PREFIX) else ():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "Tus-Resumable":
                    parameter["schema"].pop("default", None)
            if method == "head":
                for response in operation["responses"].values():
                    response.pop("content", None)


def name_in_metadata(metadata: str) -> str:
    """The file name in Upload-Metadata: comma-separated pairs of a key and a base64 value."""
    pairs = [pair.strip().partition(" ") for pair in metadata.split(",") if pair.strip()]
    values = {key: value.strip() for key, _, value in pairs}
    try:
        named = base64.b64decode(values.get("filename") or values.get("name") or "", validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise BadRequestError("Upload-Metadata: 'filename' is not UTF-8 text in base64") from error
    return named or "upload"
