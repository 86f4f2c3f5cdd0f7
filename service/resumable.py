"""Resumable uploads by the tus protocol (tus.io), for slides of gigabytes over lines that break.

The protocol is tuspyserver's. A finished upload becomes a stored slide, named by the id that tus gave it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from tuspyserver import create_tus_router

from service.context import ServiceDep, SubmitterDep
from service.intake import store_file
from service.limits import TooLargeError, require_disk
from service.multifile import ReceivedFile
from service.settings import Settings

PREFIX = "/uploads/tus"
#: Days after which an unfinished upload is given up.
DAYS_TO_KEEP = 2
#: In base64, as the header has it.
_METADATA = {
    name: base64.b64encode(value).decode()
    for name, value in {"filename": b"upload", "filetype": b"application/octet-stream"}.items()
}
_ID = re.compile(r"[0-9a-f]{32}")

Finished = Callable[[str, dict[str, Any]], Any]
Begun = Callable[[dict[str, Any], dict[str, Any]], None]


def make_tus_router(settings: Settings) -> APIRouter:
    """The tus endpoints: POST, HEAD, PATCH, DELETE."""
    router: APIRouter = create_tus_router(
        prefix=PREFIX,
        files_dir=str(folder_of(settings)),
        max_size=settings.max_upload_bytes,
        auth=_require_submitter,  # type: ignore[arg-type]  # It is a dependency, with parameters of its own.
        days_to_keep=DAYS_TO_KEEP,
        pre_create_dep=_on_begin,
        upload_complete_dep=_on_complete,
    )
    for route in router.routes:
        route.include_in_schema = False  # type: ignore[attr-defined]  # The protocol has its own description.
    return router


class CompleteMetadata:
    """Adds what tuspyserver wants in Upload-Metadata, and the protocol leaves to the client: else HEAD answers 400."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the metadata completed where an upload begins."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/") == PREFIX:
            headers = MutableHeaders(scope=scope)
            given = headers.get("upload-metadata", "")
            names = {pair.split(" ")[0] for pair in given.split(",")}
            added = [f"{name} {value}" for name, value in _METADATA.items() if name not in names]
            headers["upload-metadata"] = ",".join([given] * bool(given) + added)
        await self._app(scope, receive, send)


def folder_of(settings: Settings) -> Path:
    """Where unfinished uploads grow, and finished ones leave a note."""
    return settings.uploads / "tus"


def find_finished(upload_id: str, settings: Settings) -> str | None:
    """SHA-256 of the stored slide that an upload has become."""
    note = folder_of(settings) / f"{upload_id}.stored"
    if not _ID.fullmatch(upload_id) or not note.is_file():
        return None
    return str(json.loads(note.read_text(encoding="utf-8"))["sha256"])


def store_finished(path: Path, name: str, settings: Settings) -> None:
    """Put a finished upload in its place, or remove it if it is nothing that is scanned."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    link = path.with_suffix(".whole")
    link.unlink(missing_ok=True)
    os.link(path, link)  # The upload stays too, for a client that has not heard that it is whole.
    try:
        slide = store_file(ReceivedFile(name, link, sha256), settings)
    except Exception:
        path.unlink()
        raise
    finally:
        link.unlink(missing_ok=True)
    note = folder_of(settings) / f"{path.name}.stored"
    note.write_text(json.dumps({"sha256": slide.sha256, "name": slide.name}), encoding="utf-8")


def _require_submitter(_client: SubmitterDep) -> None:
    pass


def _on_begin(service: ServiceDep) -> Begun:
    def begin(_metadata: dict[str, Any], upload: dict[str, Any]) -> None:
        require_disk(service.settings)
        if (upload.get("size") or 0) > service.settings.max_upload_bytes:
            raise TooLargeError(f"the slide has more than {service.settings.max_upload_bytes} bytes")

    return begin


def _on_complete(service: ServiceDep) -> Finished:
    async def complete(path: str, metadata: dict[str, Any]) -> None:
        name = str(metadata.get("filename", "upload"))
        await to_thread.run_sync(store_finished, Path(path), name, service.settings)

    return complete
