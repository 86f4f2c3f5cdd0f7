"""Files and folders that appear whole or not at all, and stay after a power cut.

Whatever is unfinished lies beside its place as `.NAME.RANDOM.part`, file or folder. The next run of a result folder
removes what a run that was killed has left of these, and nothing else does. A part in use beyond the call that made it
is a folder with a lock in it (LOCK_NAME): it stays as long as that is held.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.errors import OutputError, ScannerError
from scanner.files.locks import is_held
from scanner.files.printable import well_formed

if TYPE_CHECKING:
    from PIL import Image

#: Of zlib: level 6 takes 1.6 times as long, for a picture of tissue that is 4 % smaller.
PNG_LEVEL = 1
#: The lock within a folder that is in use.
LOCK_NAME = "lock"
_PARTS = ".*.part"


def part_of(path: Path) -> Path:
    """A name beside `path` for what is to become it, or is used in its place for a while."""
    # Random, as two threads of a service may draw the same picture, and two hosts see one folder.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`; the file written there becomes `path` when the block ends.

    If the block raises, `path` stays as it was.

    Raises
    ------
    OutputError
        The file cannot be written; names `path` and the reason.
    """
    with _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder with all that is in it; the old one goes as a whole."""
    with _temporary(path) as temporary:
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in files:
                _sync(Path(folder) / name)
            sync_folder(Path(folder))
        old = part_of(path)
        with suppress(FileNotFoundError):
            path.rename(old)
        temporary.rename(path)
        sync_folder(path.parent)
        remove(old)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = part_of(path)
    try:
        yield temporary
    except ScannerError:
        raise  # Some of ours are OSErrors too, but not about writing.
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # The next run removes it otherwise.
            remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_parts(folder: Path, *, older_than: float = 0.0) -> None:
    """Remove what processes that were killed have left unfinished in `folder`; what is in use stays.

    Parameters
    ----------
    folder : Path
    older_than : float
        Age in seconds: of a folder that belongs to no run alone, in which others may be writing now.
    """
    for part in folder.glob(_PARTS):
        with suppress(FileNotFoundError):  # Its writer has ended meanwhile.
            if time.time() - part.stat().st_mtime >= older_than and not is_held(part / LOCK_NAME):
                remove(part)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk: a file that was renamed may else have its old name after all."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # Some network file systems cannot sync a folder, and need not.
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until these files, and their names, are on disk; those that are not there are left out."""
    folders: set[Path] = set()
    for path in paths:
        with suppress(FileNotFoundError):
            _sync(path)
            folders.update((path.parent, path.parent.parent))
    for folder in folders:
        sync_folder(folder)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, line ends as they are; names that are not UTF-8 are written with escapes."""
    with replacing(path) as temporary:
        temporary.write_bytes(well_formed(text).encode("utf-8"))


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write `picture` to `path` as PNG."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=PNG_LEVEL)


def _sync(path: Path) -> None:
    # Otherwise a power cut may leave the new name with no content.
    with path.open("rb+") as file:
        os.fsync(file.fileno())
