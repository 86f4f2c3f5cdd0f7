"""The files that belong to a slide of several files, as far as its reader would open them by itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scanner.files.regular_files import open_regular

#: Of a VMS file: some hundred lines.
_MAX_LIST = 1 << 20


def files_of_vms(path: Path) -> set[Path]:
    """The pictures that a VMS file names: its pixels, its overview, its label; none if it cannot be read."""
    with suppress(OSError, ValueError), open_regular(path) as file:  # A name in it may be none.
        lines = file.read(_MAX_LIST).splitlines()
        return {
            path.with_name(os.fsdecode(line.partition(b"=")[2].strip()) or path.name)
            for line in lines
            if b"File" in line or b"Image" in line
        }
    return set()


def find_irregular_companion(path: Path, is_dicom: bool) -> Path | None:
    """What lies with a slide's files and would make OpenSlide wait, as a named pipe does; None if nothing does."""
    if path.suffix.lower() == ".vms":
        candidates: Iterator[Path] = iter(files_of_vms(path))
    elif path.suffix.lower() == ".mrxs":
        candidates = _entries(path.with_suffix(""))
    else:  # OpenSlide looks for a DICOM series among all that lies beside it.
        candidates = _entries(path.parent) if is_dicom else iter(())
    return next((candidate for candidate in candidates if _would_wait(candidate)), None)


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        # Links may lead to anything.
        yield from (Path(entry.path) for entry in entries if entry.is_symlink() or not entry.is_file())


def _would_wait(path: Path) -> bool:
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return False
