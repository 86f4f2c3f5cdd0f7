"""Regular files only: pipes, sockets and devices are refused before opening them can block.

To open a named pipe waits for whoever writes to it, and a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularFileError(OSError):
    """There is something of that name, but no file; `strerror` says what."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A file, open for reading.

    Raises
    ------
    OSError
        It cannot be opened, or is a folder, a named pipe, a socket or a device: `strerror` says which.
    """
    try:
        # Without O_NONBLOCK, opening a pipe blocks. It has no effect on files.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # The system's error for a socket.
            _check(os.stat(path).st_mode, path)
        raise
    except ValueError as error:  # A NUL, or a surrogate that stands for no byte.
        raise IrregularFileError(errno.EINVAL, "not a valid file name", os.fspath(path)) from error
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_regular(path: str | os.PathLike[str]) -> bool:
    """True if that is a file, or a link to one; False as well where nobody can tell."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file", os.fspath(path))
    if kind != stat.S_IFREG:
        raise IrregularFileError(errno.EINVAL, f"{_KINDS.get(kind, 'something else')}, not a file", os.fspath(path))
