"""Deleting jobs and uploads on request; files that another group's job needs are kept.

Rows are deleted before files: files that a crash leaves behind are removed by retention.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

from anyio import to_thread

from service.access.keys import Client
from service.jobs import lifecycle
from service.jobs.backend import JobBackend
from service.jobs.lifecycle import Job, TransitionError
from service.problems import ReportedError
from service.settings import Settings
from service.slides_in import tus
from service.slides_in.holdings import find_holding, is_held, release
from service.slides_in.store_slide import incoming_folder, is_sha256
from service.slides_in.tus import UploadNotFoundError

#: Seconds that a running scan is given to stop.
STOP_PATIENCE = 20.0


class StillRunningError(ReportedError):
    """A worker is still running the job."""

    problem_type = "job-running"


class UploadInUseError(ReportedError):
    """A job that has not ended uses the upload."""

    problem_type = "upload-in-use"


async def purge_job(backend: JobBackend, job: Job) -> None:
    """Cancel a job if it has not ended; then delete it, and its result and upload unless another job needs them.

    Raises
    ------
    StillRunningError
        Its worker has not stopped within STOP_PATIENCE; the job is marked to be cancelled.
    """
    if not job.state.is_final:
        cancelling = partial(lifecycle.request_cancel, now=time.time())
        with suppress(TransitionError):  # It has just ended.
            await to_thread.run_sync(backend.store.update, job.id, cancelling)
        job = await backend.waiter.wait(job.id, timeout_s=STOP_PATIENCE)
        if not job.state.is_final:
            raise StillRunningError("the job is being cancelled: repeat the request once it has stopped")
    await to_thread.run_sync(_forget, backend, job)


def delete_upload(backend: JobBackend, client: Client, upload_id: str) -> None:
    """Delete an unfinished upload, or a stored one with its bytes unless another group needs them.

    An admin whose group does not keep the upload deletes it for all groups.

    Raises
    ------
    UploadNotFoundError
        The client's group has no such upload.
    UploadBusyError
        A request is sending bytes of it.
    UploadInUseError
        A job of the group that has not ended uses it.
    """
    settings, sha256 = backend.settings, upload_id
    if tus.is_id(upload_id):
        upload = tus.find(settings, upload_id)
        tus.require_owner(upload, client)
        if upload.sha256 is None:
            with tus.locked(settings, upload_id):
                tus.remove(settings, upload_id)
            return
        sha256 = upload.sha256
    if not is_sha256(sha256):
        raise UploadNotFoundError(f"no upload {upload_id!r}")
    _delete_slide(backend, client, sha256)
    if sha256 != upload_id:
        tus.remove(settings, upload_id)


def _delete_slide(backend: JobBackend, client: Client, sha256: str) -> None:
    settings = backend.settings
    is_own = find_holding(settings, client.group, sha256) is not None
    if not (is_own or client.sees is None) or not _place(settings, sha256).is_dir():
        release(settings, sha256, group=client.group)
        raise UploadNotFoundError(f"no upload {sha256!r}")
    readers = backend.store.list_reading(_relative(sha256))
    blocking = [job for job in readers if not job.state.is_final and (not is_own or job.client == client.group)]
    if blocking:
        raise UploadInUseError(
            f"job {blocking[0].id} is {blocking[0].state} and uses it: cancel the job, or wait until it has ended"
        )
    release(settings, sha256, group=client.group if is_own else None)
    is_wanted = is_own and any(job.client != client.group for job in readers)
    if not is_wanted and not is_held(settings, sha256):
        _remove_slide(backend, sha256)


def _forget(backend: JobBackend, job: Job) -> None:
    backend.store.delete(job.id)
    backend.results.discard_work(job.id)
    if not backend.store.has_result_key(job.request.result_key):
        backend.results.remove(job.request.result_key)
    slide = PurePosixPath(job.request.slide)
    if not job.request.slide or slide.is_absolute():  # Not fetched yet, or a file of the server's own folders.
        return
    sha256 = slide.parent.name
    readers = backend.store.list_reading(_relative(sha256))
    if all(reader.client != job.client for reader in readers):
        release(backend.settings, sha256, group=job.client)
    if not readers and not is_held(backend.settings, sha256):
        _remove_slide(backend, sha256)


def _remove_slide(backend: JobBackend, sha256: str) -> None:
    """Remove a slide's files, unless a job that uses them was submitted at this very moment."""
    place, gone = _place(backend.settings, sha256), incoming_folder(backend.settings) / uuid.uuid4().hex
    gone.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        os.rename(place, gone)
        if any(not job.state.is_final for job in backend.store.list_reading(_relative(sha256))):
            with suppress(OSError):  # Sent again meanwhile.
                os.rename(gone, place)
        shutil.rmtree(gone, ignore_errors=True)


def _place(settings: Settings, sha256: str) -> Path:
    return settings.uploads / sha256


def _relative(sha256: str) -> str:
    return f"uploads/{sha256}"
