"""Holdings: which group keeps which stored slide, under which name, and how many bytes that is.

A holding is a small file uploads/clients/<group>/<SHA-256 of the slide>; groups' names are hashed in paths.
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
    """One stored slide that a group keeps."""

    #: SHA-256 of the stored slide.
    upload: str
    #: The group's name for it.
    name: str
    size: int


def holdings_folder(settings: Settings) -> Path:
    """Where all holdings are."""
    return settings.uploads / "clients"


def hold(settings: Settings, group: str, holding: Holding) -> None:
    """Record atomically that a group keeps a slide."""
    folder = _folder_of(settings, group)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{uuid.uuid4().hex}"
    part.write_text(json.dumps(asdict(holding)), encoding="utf-8")
    os.replace(part, folder / holding.upload)


def find_holding(settings: Settings, group: str, upload: str) -> Holding | None:
    """The group's holding of an upload, if it has one."""
    return _read(_folder_of(settings, group) / upload)


def is_held(settings: Settings, upload: str) -> bool:
    """True if any group keeps the upload."""
    return any(True for _ in holdings_folder(settings).glob(f"*/{upload}"))


def release(settings: Settings, upload: str, *, group: str | None = None) -> None:
    """Remove the record that the group, or any group, keeps the slide."""
    folder = holdings_folder(settings)
    paths = folder.glob(f"*/{upload}") if group is None else [_folder_of(settings, group) / upload]
    for path in paths:
        path.unlink(missing_ok=True)


def held_bytes(settings: Settings, group: str) -> int:
    """Bytes of all uploads that a group keeps."""
    found = (_read(path) for path in _folder_of(settings, group).glob("[0-9a-f]*"))
    return sum(holding.size for holding in found if holding)


def _folder_of(settings: Settings, group: str) -> Path:
    name = hashlib.sha256(group.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return holdings_folder(settings) / name


def _read(path: Path) -> Holding | None:
    try:
        return Holding(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # Removed meanwhile, or not a holding.
        return None
