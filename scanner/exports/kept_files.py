"""Large files of a result that an unfinished scan has written: the next run of the same plan does not write them again.

Those are the files as large as the map: on a giant slide they take minutes. Pictures take seconds, and are drawn again.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

from scanner.files.journal import Journal, read_entries

#: Bytes of a file that are read at once.
_BLOCK = 1 << 20


class KeptFiles:
    """Files of the result that were finished by a run of the same plan."""

    def __init__(self, folder: Path) -> None:
        path = folder / "files.jsonl"
        self._known = {entry["file"]: entry["content"] for entry in read_entries(path, {"file", "content"})}
        self._journal = Journal(path)

    def once(self, path: Path, write: Callable[[Path], None]) -> None:
        """Write a file, or a folder, unless it is there as it was finished."""
        if path.name not in self._known or self._known[path.name] != content_checksum(path):
            write(path)
            self._journal.append({"file": path.name, "content": content_checksum(path)})


def content_checksum(path: Path) -> int | None:
    """CRC-32 of a file, or of all names and files in a folder; None if there is none."""
    if path.is_file():
        return _add_file(0, path)
    if not path.is_dir():
        return None
    total = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            total = _add_file(zlib.crc32(os.fsencode(file.relative_to(path)), total), file)
    return total


def _add_file(total: int, path: Path) -> int:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total = zlib.crc32(block, total)
    return total
