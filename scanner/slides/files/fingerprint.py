"""The identity of a slide's bytes: tells two slides, or two states of one, apart without reading gigabytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scanner.errors import SlideNotFoundError
from scanner.files.regular_files import open_regular
from scanner.slides.files.zarr_folder import METADATA_NAMES

#: Hashed at either end of a file.
_END_BYTES = 1 << 20


def fingerprint(path: Path) -> str:
    """SHA-256, lower-case hex, of a file's size and both of its ends.

    Of a folder (Zarr) it is that of the names and sizes of its files, and of its metadata; of a MIRAX slide, whose data
    lie in a folder beside it, that of both.

    Raises
    ------
    SlideNotFoundError
        There is no such file any more, or it may not be read.
    """
    try:
        return _digest(path)
    except OSError as error:
        raise SlideNotFoundError(f"{path}: {error.strerror}") from error


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    if path.is_dir():
        _add_folder(digest, path)
        return digest.hexdigest()
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(str(size).encode())
        for start in (0, max(0, size - _END_BYTES)):
            file.seek(start)
            digest.update(file.read(_END_BYTES))
    if path.suffix.lower() == ".mrxs" and path.with_suffix("").is_dir():
        _add_folder(digest, path.with_suffix(""))
    return digest.hexdigest()


def _add_folder(digest: hashlib._Hash, folder: Path) -> None:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            digest.update(os.fsencode(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0"))
            if name in METADATA_NAMES:
                with open_regular(file) as metadata:
                    digest.update(metadata.read())
