"""The file of keys in the data folder: `mitoscan keys` writes it, running services take it up with the next request.

It has the SHA-256 of each key, never a key.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from service.access.keys import hash_key
from service.settings.rules import KeyEntry, Role, key_entry

NAME = "keys.json"
LOCK = ".keys.lock"

_log = logging.getLogger(__name__)


class KeysFileError(Exception):
    """The file of keys cannot be read, or not be changed like that."""


class KeysFile:
    """Keys by their digests, as the file has them at this moment."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._seen: tuple[int, int, int] | None = None
        self._entries: dict[str, KeyEntry] = {}

    @property
    def is_there(self) -> bool:
        """True if there is a file, or was one: who removes the last key, or the file, has not opened the service."""
        self.entries()
        return self._seen is not None

    def entries(self) -> dict[str, KeyEntry]:
        """Digest -> entry. A file that cannot be read leaves the keys of before; KeysFileError if there were none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._entries = {}
            return self._entries
        except OSError as error:
            return self._as_before(error)
        state = (status.st_mtime_ns, status.st_size, status.st_ino)
        if state != self._seen:
            try:
                self._entries = {entry.sha256: entry for entry in _read(self.path)}
            except (OSError, ValueError) as error:
                return self._as_before(error)
            self._seen = state
        return self._entries

    def _as_before(self, error: Exception) -> dict[str, KeyEntry]:
        if self._seen is None:
            raise KeysFileError(f"{self.path} cannot be read: {error}") from error
        _log.error("%s cannot be read, and the keys of before stay: %s", self.path, error)
        return self._entries

    def add(self, name: str, *, group: str, role: Role) -> str:
        """A new key of that name, which nothing keeps: show it now."""
        key = secrets.token_urlsafe(32)
        self.add_digest(key_entry(name, group=group, role=role.value, sha256=hash_key(key)))
        return key

    def add_digest(self, entry: KeyEntry) -> None:
        """Add the entry of a key that exists.

        Raises
        ------
        KeysFileError
            There is a key of that name.
        """
        with self._locked():
            known = self.entries().values()
            if any(other.name == entry.name for other in known):
                raise KeysFileError(f"there is a key {entry.name!r}: choose another name, or revoke that one first")
            self._write([*known, entry])

    def revoke(self, name: str) -> KeyEntry:
        """Remove the key of that name.

        Raises
        ------
        KeysFileError
            There is no such key.
        """
        with self._locked():
            known = [*self.entries().values()]
            gone = next((entry for entry in known if entry.name == name), None)
            if gone is None:
                names = ", ".join(sorted(entry.name for entry in known)) or "none"
                raise KeysFileError(f"{self.path} has no key {name!r}, but {names}")
            self._write([entry for entry in known if entry is not gone])
        return gone

    def _write(self, entries: list[KeyEntry]) -> None:
        part = self.path.with_name(f".{NAME}.part")
        rows = [asdict(entry) | {"role": entry.role.value} for entry in entries]
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"keys": rows}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path.parent / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _read(path: Path) -> list[KeyEntry]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return [key_entry(row["name"], group=row["group"], role=row["role"], sha256=row["sha256"]) for row in rows]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a file of keys ({error!r})") from error
