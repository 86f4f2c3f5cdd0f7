"""Zip archives, unpacked within limits on entries, bytes, compression ratio, names, and the size of their directory."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from scanner.errors import DamagedSlideError, ScannerError, UnsupportedSlideError
from service.access.limits import TooLargeError
from service.slides_in.multifile import MAX_FILES, BadNameError, ReceivedFile, checked_name, is_clutter

MAGIC = b"PK\x03\x04"
#: zipfile reads the central directory at once: a longer one is refused before it is read.
MAX_READ = 2 << 20
COPY_SIZE = 1 << 20
#: Slides are compressed already: what unpacks to more than this many times its size is a zip bomb.
MAX_RATIO = 50
#: Bytes that an archive may unpack to at any ratio: MIRAX has indexes that compress well.
FREE_BYTES = 64 << 20
#: Other methods may need gigabytes of memory, or are rare.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED, _UTF8 = 0x1, 0x800


class _BoundedFile(io.FileIO):
    """A file that refuses large reads."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > MAX_READ:
            raise zipfile.BadZipFile("its central directory is too long")
        return super().read(size) or b""


def is_archive(path: Path) -> bool:
    """True if the file starts with the signature of a zip."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def unpack(
    path: Path, into: Path, *, max_bytes: int, require_space: Callable[[int], None] = lambda _bytes: None
) -> list[ReceivedFile]:
    """Unpack a zip into a folder, its files named by numbers.

    Parameters
    ----------
    path, into : Path
        The zip, and the folder.
    max_bytes : int
        Of all files together.
    require_space : callable
        Called with the number of bytes to be written, before the first one; may raise.

    Raises
    ------
    UnsupportedSlideError
        An entry is encrypted, a link, or compressed by another method than deflate; or a name is not valid.
    TooLargeError
        There are too many entries, too many bytes, or far more than the archive's own.
    DamagedSlideError
        The archive is broken.
    """
    try:
        with _BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            names = _checked(entries, archive_bytes=path.stat().st_size, max_bytes=max_bytes)
            require_space(sum(entry.file_size for entry in entries))
            return [
                _unpack_entry(archive, entry, name, into / f"{number:05}.part")
                for number, (entry, name) in enumerate(zip(entries, names, strict=True))
                if not is_clutter(name)
            ]
    except BadNameError as error:
        raise UnsupportedSlideError(f"zip: {error}") from error
    except ScannerError:  # Before ValueError, which some of them are too.
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL is an offset before the file's start; others are errors of the disk.
            raise
        raise DamagedSlideError("zip: an offset lies outside the file") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError) as error:
        raise DamagedSlideError(f"zip: {error}") from error


def _checked(entries: list[zipfile.ZipInfo], *, archive_bytes: int, max_bytes: int) -> list[str]:
    """The names of the entries, all checked before anything is unpacked."""
    if len(entries) > MAX_FILES:
        raise TooLargeError(f"zip: {len(entries)} entries; a slide has at most {MAX_FILES}")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise TooLargeError(f"zip: {total} bytes when unpacked, more than {max_bytes}")
    if total > max(FREE_BYTES, MAX_RATIO * archive_bytes):
        raise TooLargeError(f"zip: unpacks to {total // max(archive_bytes, 1)} times its size; at most {MAX_RATIO}")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise UnsupportedSlideError("zip: an entry is encrypted")
        if entry.compress_type not in _METHODS:
            raise UnsupportedSlideError("zip: an entry is compressed by another method than deflate")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in {0, stat.S_IFREG}:
            raise UnsupportedSlideError("zip: an entry is a link or a device")
    names = [checked_name(_name_of(entry)) for entry in entries]
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise UnsupportedSlideError(f"zip: two entries have the same name, apart from case: {name[:80]!r}")
        seen.add(name.casefold())
    return names


def _name_of(entry: zipfile.ZipInfo) -> str:
    """The entry's name: many programs write UTF-8 without its flag, where the format says code page 437."""
    name = entry.orig_filename  # The raw name: zipfile cuts `filename` at a NUL.
    if entry.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, path: Path) -> ReceivedFile:
    digest = hashlib.sha256()
    with archive.open(entry) as source, path.open("wb") as target:
        while chunk := source.read(COPY_SIZE):  # Never more than the entry's stated size in all.
            digest.update(chunk)
            target.write(chunk)
    return ReceivedFile(name, path, digest.hexdigest())
