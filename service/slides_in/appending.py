"""Appending: the bytes of one PATCH, taken into a resumable upload by whoever has it to themselves.

What was taken stays, however the request ends. A request that is refused because another has the upload makes that one
end, if its client has been silent: a client whose line broke does not wait for the service to notice.
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

#: Seconds after which a silent client makes way for another request for the same upload.
STALE_S = 2.0


class OffsetError(ReportedError):
    """The client goes on at another place than the upload does."""

    problem_type = "wrong-offset"


@dataclass
class _Writer:
    """A request that appends."""

    clock: asyncio.Timeout
    heard_at: float


class Appender:
    """Appends to resumable uploads; knows the requests that do in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writers: dict[str, _Writer] = {}

    async def append(
        self, upload_id: str, chunks: AsyncIterable[bytes], *, at: int, length: int | None, allowance: Allowance
    ) -> tuple[Upload, int]:
        """The upload and its offset once the bytes have been taken; a stored slide if these were the last.

        Raises
        ------
        UploadBusyError
            Another request has the upload.
        OffsetError
            The upload does not end at `at`.
        TooLargeError, QuotaExceededError, StorageFullError
            The bytes that fit are kept, the others are not.
        """
        settings = self._settings
        with ExitStack() as stack:
            try:
                await to_thread.run_sync(stack.enter_context, tus.claimed(settings, upload_id))
            except UploadBusyError:
                self._hurry(upload_id)
                raise
            upload = await to_thread.run_sync(tus.find, settings, upload_id)
            offset = await to_thread.run_sync(tus.offset_of, settings, upload)
            if at != offset:
                raise OffsetError(f"Upload-Offset is {at}, but {offset} bytes have been received")
            if length is not None:
                upload = await to_thread.run_sync(self._with_length, upload, length, allowance)
            if upload.sha256 is None:
                offset = await self._take(upload, chunks, at=offset, allowance=allowance)
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
        """Others that told their length late may have grown meanwhile; what is here stays, for when there is room."""
        allowance_for(self._settings, upload.owner, but=upload.id).require(upload.length or 0)

    async def _take(self, upload: Upload, chunks: AsyncIterable[bytes], *, at: int, allowance: Allowance) -> int:
        path = tus.tus_folder(self._settings) / upload.id / tus.BYTES
        file = await to_thread.run_sync(FileSink, path, self._settings)
        try:
            async with asyncio.timeout(None) as clock:
                writer = self._writers[upload.id] = _Writer(clock, asyncio.get_running_loop().time())
                async for chunk in chunks:
                    writer.heard_at = asyncio.get_running_loop().time()
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

    def _hurry(self, upload_id: str) -> None:
        """End the request that has the upload if its client has fallen silent."""
        writer, now = self._writers.get(upload_id), asyncio.get_running_loop().time()
        if writer and now - writer.heard_at > STALE_S:
            writer.clock.reschedule(now)
