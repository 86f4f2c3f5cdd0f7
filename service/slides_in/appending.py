"""Appending: writes the bytes of one PATCH to a resumable upload, one request at a time.

Bytes that were received are kept, however the request ends. A request that finds the upload locked by another one ends
that one if its client has sent nothing for a while: so a client whose connection broke need not wait for a timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from anyio import CancelScope, to_thread

from service.access.limits import Allowance, SlowClientError, TooLargeError
from service.problems import ReportedError
from service.settings import Settings
from service.slides_in import tus
from service.slides_in.quotas import allowance_for
from service.slides_in.sink import FileSink
from service.slides_in.tus import Upload, UploadBusyError

#: Seconds without a byte after which a request gives way to another one for the same upload.
STALE_S = 2.0


class OffsetError(ReportedError):
    """Upload-Offset or Upload-Length does not match the upload."""

    problem_type = "wrong-offset"


@dataclass
class _Writer:
    """A request that is appending."""

    clock: asyncio.Timeout
    last_byte_at: float


class Appender:
    """Appends to resumable uploads; keeps track of the requests of this process that do so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writers: dict[str, _Writer] = {}

    async def append(
        self, upload_id: str, chunks: AsyncIterable[bytes], *, at: int, length: int | None, allowance: Allowance
    ) -> tuple[Upload, int]:
        """Append the bytes; returns the upload and its offset. After the last byte the upload becomes a stored slide.

        Raises
        ------
        UploadBusyError
            Another request is appending to the upload.
        OffsetError
            The upload has more or fewer bytes than `at`.
        TooLargeError, QuotaExceededError, StorageFullError
            The bytes that fit are kept, the others are not.
        """
        settings = self._settings
        with ExitStack() as stack:
            try:
                await to_thread.run_sync(stack.enter_context, tus.locked(settings, upload_id))
            except UploadBusyError:
                self._end_if_silent(upload_id)
                raise
            upload = await to_thread.run_sync(tus.find, settings, upload_id)
            offset = await to_thread.run_sync(tus.offset_of, settings, upload)
            if at != offset:
                raise OffsetError(f"Upload-Offset is {at}, but {offset} bytes have been received")
            if length is not None:
                upload = await to_thread.run_sync(self._with_length, upload, length, allowance)
            if upload.sha256 is None:
                offset = await self._write(upload, chunks, at=offset, allowance=allowance)
            if upload.sha256 is None and offset == upload.length:
                await to_thread.run_sync(self._require_quota, upload)
                upload = await to_thread.run_sync(tus.finish, settings, upload)
        return upload, offset

    def _with_length(self, upload: Upload, length: int, allowance: Allowance) -> Upload:
        if upload.length is not None:
            if upload.length != length:
                raise OffsetError(f"Upload-Length is {length}, but was {upload.length} before")
            return upload
        allowance.require(length)
        return tus.set_length(self._settings, upload, length)

    def _require_quota(self, upload: Upload) -> None:
        """Other uploads with a deferred length may have grown meanwhile; the bytes are kept for when there is room."""
        allowance_for(self._settings, upload.owner, besides=upload.id).require(upload.length or 0)

    async def _write(self, upload: Upload, chunks: AsyncIterable[bytes], *, at: int, allowance: Allowance) -> int:
        path = tus.tus_folder(self._settings) / upload.id / tus.BYTES
        file = await to_thread.run_sync(FileSink, path, self._settings)
        try:
            async with asyncio.timeout(None) as clock:
                writer = self._writers[upload.id] = _Writer(clock, asyncio.get_running_loop().time())
                async for chunk in chunks:
                    writer.last_byte_at = asyncio.get_running_loop().time()
                    if upload.length is not None and at + len(chunk) > upload.length:
                        raise TooLargeError(f"more bytes than Upload-Length says, {upload.length}")
                    allowance.require(at + len(chunk))
                    at += len(chunk)
                    await file.write(chunk)
        except TimeoutError as error:
            raise SlowClientError(
                "this request has sent nothing for a while, and another one sends to the same upload"
            ) from error
        finally:
            self._writers.pop(upload.id, None)
            with CancelScope(shield=True):
                await to_thread.run_sync(partial(file.close, is_durable=True))
        return at

    def _end_if_silent(self, upload_id: str) -> None:
        """End the request that is appending if its client has sent nothing for STALE_S."""
        writer, now = self._writers.get(upload_id), asyncio.get_running_loop().time()
        if writer and now - writer.last_byte_at > STALE_S:
            writer.clock.reschedule(now)
