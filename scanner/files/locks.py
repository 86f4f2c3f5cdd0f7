"""Locks on files: held until they are let go of, or the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from scanner.errors import OutputExistsError


class Lock:
    """An advisory lock (flock) on a file, which is created if it is not there.

    A lock that nobody can reach any more is let go of. That removes no file: it only says that the next one may.

    Raises
    ------
    OutputExistsError
        Somebody else holds it.
    OSError
        The file cannot be opened, or its file system has no locks.
    """

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self._descriptor: int | None = None
        # Some file systems want a file that is locked for one open for writing, and one that is shared for reading.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise OutputExistsError(f"{path.parent}: another scan is writing there") from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def is_on(self, path: Path) -> bool:
        """True if the file at `path` is the one that is locked: it may have been renamed meanwhile."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        assert self._descriptor is not None
        locked = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (locked.st_dev, locked.st_ino)

    def release(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    __del__ = release


def is_held(path: Path) -> bool:
    """True if somebody holds the lock on that file, or it cannot be told; False if there is no such file."""
    if not path.exists():
        return False
    try:
        Lock(path).release()
    except OSError:
        return True
    return False
