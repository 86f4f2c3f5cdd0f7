"""Holdings: which client keeps which stored slide, under which name, and how many bytes that is.

A holding is a small file uploads/clients/<client>/<SHA-256 of the slide>; clients' names are hashed in paths.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from service.settings import Settings


@dataclass(frozen=True)
class Holding:
    """One stored slide that a client keeps."""

    #: SHA-256 of the stored slide.
    upload: str
    #: The client's name for it.
    name: str
    size: int


def holdings_folder(settings: Settings) -> Path:
    """Where all holdings are."""
    return settings.uploads / "clients"


def hold(settings: Settings, client: str, holding: Holding) -> None:
    """Record atomically that a client keeps a slide."""
    folder = _folder_of(settings, client)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{uuid.uuid4().hex}"
    part.write_text(json.dumps(asdict(holding)), encoding="utf-8")
    os.replace(part, folder / holding.upload)


def find_holding(settings: Settings, client: str, upload: str) -> Holding | None:
    """The client's holding of an upload, if it has one."""
    return _read(_folder_of(settings, client) / upload)


def is_held(settings: Settings, upload: str) -> bool:
    """True if any client keeps the upload."""
    return any(True for _ in holdings_folder(settings).glob(f"*/{upload}"))


def release(settings: Settings, upload: str, *, client: str | None = None) -> None:
    """Remove the record that the client, or any client, keeps the slide."""
    folder = holdings_folder(settings)
    paths = folder.glob(f"*/{upload}") if client is None else [_folder_of(settings, client) / upload]
    for path in paths:
        path.unlink(missing_ok=True)


def held_bytes(settings: Settings, client: str) -> int:
    """Bytes of all uploads that a client keeps."""
    found = (_read(path) for path in _folder_of(settings, client).glob("[0-9a-f]*"))
    return sum(holding.size for holding in found if holding)


def _folder_of(settings: Settings, client: str) -> Path:
    name = hashlib.sha256(client.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return holdings_folder(settings) / name


def _read(path: Path) -> Holding | None:
    try:
        return Holding(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # Removed meanwhile, or not a holding.
        return None
