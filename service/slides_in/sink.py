"""FileSink: writes the bytes of a body to a file while they are being received, for every kind of upload."""

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

#: Bytes that are buffered before they are written in a thread.
WRITE_SIZE = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FileSink:
    """Appends to a file in a thread, WRITE_SIZE bytes at a time: bounded memory, no blocking of the event loop."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._settings = settings
        self._pending = bytearray()
        self._descriptor: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.path = path
        #: SHA-256 of the bytes written so far.
        self.digest = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        """Append bytes; StorageFullError if the disk is nearly full."""
        self._pending += chunk
        if len(self._pending) >= WRITE_SIZE:
            await to_thread.run_sync(self.flush)

    def flush(self) -> None:
        """Write the pending bytes."""
        assert self._descriptor is not None
        require_disk(self._settings)
        content = memoryview(bytes(self._pending))
        self._pending.clear()  # Bytes that fail to be written are dropped: written later, they would follow a gap.
        self.digest.update(content)
        with translating_full_disk():
            while content:
                content = content[os.write(self._descriptor, content) :]

    def close(self, *, is_durable: bool = False) -> None:
        """Write the pending bytes and close the file; with `is_durable`, after fsync."""
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
        """Close the file without writing the pending bytes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def translating_full_disk() -> Iterator[None]:
    """Turn the OSError of a full disk into StorageFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError("the service's disk is full") from error
        raise
