"""Journals of an unfinished scan: lines of JSON, each with a checksum of itself and of the data that it records.

A line is read back only if it is complete and unchanged. One that a kill or a power cut has
torn, or that something else has changed, counts for nothing: what it vouched for is done again, and no more.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scanner.errors import OutputError
from scanner.files.atomic import sync_files

_CHECKSUM = "crc"
#: Seconds of work that a power cut may cost: half a minute, less the time of the next tile.
SYNC_SECONDS = 20.0


class Journal:
    """One file of such lines, which one process appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _cut_off_half_line(path)

    def append(self, entry: dict[str, Any], content: bytes = b"") -> None:
        """Add a line for `entry`, that vouches for `content`; OutputError if it cannot be written."""
        line = json.dumps(entry | {_CHECKSUM: checksum(entry, content)}) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode("utf-8"))
        except OSError as error:
            raise OutputError(f"{self.path}: {error}") from error

    def sync(self, content: Iterable[Path] = ()) -> None:
        """Wait until all lines, and the files of what they vouch for, are safe from a power cut."""
        try:
            sync_files([*content, self.path])
        except OSError as error:
            raise OutputError(f"{self.path}: {error}") from error


class SyncClock:
    """Says when what was done must be brought to disk."""

    def __init__(self) -> None:
        self._synced_at = self._done_at = time.monotonic()

    def is_due(self) -> bool:
        """Asked after each piece of work: True if one more, as long as this one, would be too much to lose."""
        now = time.monotonic()
        is_due = now - self._synced_at + (now - self._done_at) > SYNC_SECONDS
        self._done_at = now
        self._synced_at = now if is_due else self._synced_at
        return is_due


def checksum(entry: dict[str, Any], content: bytes = b"") -> int:
    """CRC-32 of an entry and of what it vouches for."""
    return zlib.crc32(content, zlib.crc32(json.dumps(entry, sort_keys=True).encode("utf-8")))


def read_lines(path: Path, keys: set[str]) -> Iterator[tuple[dict[str, Any], int]]:
    """Entries with exactly these keys, and their checksums, of all lines that are whole; the caller compares."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content[: content.rfind(b"\n") + 1].splitlines():  # The last line may be incomplete.
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and entry.keys() == keys | {_CHECKSUM}:
            claimed = entry.pop(_CHECKSUM)
            if type(claimed) is int:
                yield entry, claimed


def read_entries(path: Path, keys: set[str]) -> Iterator[dict[str, Any]]:
    """Entries with exactly these keys that vouch for nothing but themselves, and are as they were written."""
    return (entry for entry, claimed in read_lines(path, keys) if checksum(entry) == claimed)


def _cut_off_half_line(path: Path) -> None:
    """Let the next line begin on a line of its own; what is whole is not touched."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.truncate(path, whole)
