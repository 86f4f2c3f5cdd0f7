"""FileSink: a file that takes the bytes of a body as they come, for every kind of upload."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio import to_thread

from service.access.limits import StorageFullError, require_disk
from service.settings import Settings

#: Bytes gathered before a write leaves for a thread.
WRITE_SIZE = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FileSink:
    """Writes to the end of a file from a thread, WRITE_SIZE bytes at a time: memory stays bounded, the loop free."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._settings = settings
        self._pending = bytearray()
        self._descriptor: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.path = path
        #: Of what this sink has written.
        self.digest = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        """Take more bytes; StorageFullError if the disk is nearly full."""
        self._pending += chunk
        if len(self._pending) >= WRITE_SIZE:
            await to_thread.run_sync(self.flush)

    def flush(self) -> None:
        """Write what was taken."""
        assert self._descriptor is not None
        require_disk(self._settings)
        content = memoryview(bytes(self._pending))
        self._pending.clear()  # What cannot be written now will not be written later, behind a gap.
        self.digest.update(content)
        with translating_full_disk():
            while content:
                content = content[os.write(self._descriptor, content) :]

    def close(self, *, is_durable: bool = False) -> None:
        """Write what was taken and let go of the file; with `is_durable`, only once the disk has it."""
        if self._descriptor is None:
            return
        try:
            self.flush()
            if is_durable:
                with translating_full_disk():
                    os.fsync(self._descriptor)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def translating_full_disk() -> Iterator[None]:
    """A StorageFullError in place of what the system says of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError("the service's disk is full") from error
        raise
