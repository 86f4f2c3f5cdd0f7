"""Resumable uploads on disk: they survive a broken connection, and a crash of the API or the machine.

An upload is a folder uploads/tus/<id> with a note (owner, name, length) and the bytes so far, in a file whose size is
the offset. A complete upload becomes a stored slide, and its note says which.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from service.access.keys import Client
from service.access.limits import StorageFullError, TooManyRequestsError, require_disk
from service.problems import ReportedError
from service.settings import Settings
from service.slides_in.holdings import Holding, hold
from service.slides_in.multifile import ReceivedFile
from service.slides_in.store_slide import StoredSlide, store_file, stored_size

#: Seconds after its last byte at which an unfinished upload expires.
KEEP_S = 2 * 86_400.0
#: Unfinished uploads that one group may have.
MAX_UNFINISHED = 100
NOTE, BYTES, LOCK, WHOLE = "upload.json", "bytes", "lock", "whole"
_ID = re.compile(r"[0-9a-f]{32}")
_FALLOC_FL_KEEP_SIZE = 1  # linux/falloc.h


class UploadNotFoundError(ReportedError, LookupError):
    """No upload has this id, or it belongs to another group, or it has expired."""

    problem_type = "upload-not-found"


class UploadBusyError(ReportedError):
    """Another request is using this upload."""

    problem_type = "upload-busy"


@dataclass(frozen=True)
class Upload:
    """A resumable upload."""

    id: str
    #: The group that owns it.
    owner: str
    #: The client's name for the slide.
    name: str
    #: Total bytes; None until the client states them.
    length: int | None
    #: As the client sent it, for its own use.
    metadata: str = ""
    #: SHA-256 of the stored slide that it has become.
    sha256: str | None = None


def tus_folder(settings: Settings) -> Path:
    """Folder of resumable uploads."""
    return settings.uploads / "tus"


def is_id(upload_id: str) -> bool:
    """True if the id has the form of a resumable upload's; those of stored slides are longer."""
    return _ID.fullmatch(upload_id) is not None


def require_owner(upload: Upload, client: Client) -> None:
    """UploadNotFoundError unless the client may see this upload."""
    if not client.may_see(upload.owner):
        raise UploadNotFoundError(f"no upload {upload.id!r}")


def create(settings: Settings, upload: Upload) -> None:
    """Create an upload, and reserve its declared length on the disk."""
    if len(list(unfinished(settings, upload.owner))) >= MAX_UNFINISHED:
        raise TooManyRequestsError(f"this group has {MAX_UNFINISHED} unfinished uploads, the most allowed: DELETE some")
    require_disk(settings, upload.length or 0)
    folder = tus_folder(settings) / upload.id
    folder.mkdir(parents=True)
    try:
        _reserve(folder / BYTES, upload.length or 0)
        _write_note(settings, upload)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def find(settings: Settings, upload_id: str) -> Upload:
    """The upload of that id."""
    if is_id(upload_id):
        upload = _read_note(tus_folder(settings) / upload_id)
        if upload and (upload.sha256 or expires_at(settings, upload) > time.time()):
            return upload
    raise UploadNotFoundError(f"no upload {upload_id!r}")


def offset_of(settings: Settings, upload: Upload) -> int:
    """Bytes received so far."""
    if upload.sha256:
        return upload.length or 0
    try:
        return (tus_folder(settings) / upload.id / BYTES).stat().st_size
    except FileNotFoundError as error:
        raise UploadNotFoundError(f"no upload {upload.id!r}") from error


def expires_at(settings: Settings, upload: Upload) -> float:
    """When an unfinished upload expires, unless more bytes arrive."""
    try:
        return (tus_folder(settings) / upload.id / BYTES).stat().st_mtime + KEEP_S
    except FileNotFoundError:
        return 0.0


def set_length(settings: Settings, upload: Upload, length: int) -> Upload:
    """The upload with its length set; reserves the missing bytes on the disk."""
    require_disk(settings, length - offset_of(settings, upload))
    _reserve(tus_folder(settings) / upload.id / BYTES, length)
    upload = replace(upload, length=length)
    _write_note(settings, upload)
    return upload


@contextmanager
def locked(settings: Settings, upload_id: str) -> Iterator[None]:
    """Lock the upload among all processes; UploadBusyError at once if it is locked."""
    folder = tus_folder(settings) / upload_id
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError as error:
        raise UploadNotFoundError(f"no upload {upload_id!r}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadBusyError("another request is sending this upload: try again in a second") from error
        yield
    finally:
        os.close(descriptor)


def finish(settings: Settings, upload: Upload) -> Upload:
    """Store the complete upload as a slide of its owner; an upload that is not a slide is removed."""
    folder = tus_folder(settings) / upload.id
    with (folder / BYTES).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    whole = folder / WHOLE
    whole.unlink(missing_ok=True)
    os.link(folder / BYTES, whole)  # The bytes are kept until the note has the slide's id.
    try:
        slide = store_file(ReceivedFile(upload.name, whole, sha256), settings)
    except StorageFullError:  # A zip may be unpacked later, when there is room.
        whole.unlink(missing_ok=True)
        raise
    except Exception:
        remove(settings, upload.id)
        raise
    hold_slide(settings, upload.owner, slide)
    upload = replace(upload, sha256=slide.sha256)
    _write_note(settings, upload)
    for path in (whole, folder / BYTES):
        path.unlink(missing_ok=True)
    return upload


def find_finished(settings: Settings, upload_id: str) -> Upload | None:
    """The upload of that id if it is a stored slide; one that was complete when the API crashed is stored now."""
    try:
        upload = find(settings, upload_id)
        if upload.sha256 is None and offset_of(settings, upload) == upload.length:
            with locked(settings, upload_id):
                upload = find(settings, upload_id)
                upload = upload if upload.sha256 else finish(settings, upload)
    except UploadNotFoundError:
        return None
    return upload if upload.sha256 else None


def remove(settings: Settings, upload_id: str) -> None:
    """Remove an upload, and its bytes unless they have become a slide."""
    shutil.rmtree(tus_folder(settings) / upload_id, ignore_errors=True)


def unfinished(settings: Settings, owner: str) -> Iterator[Upload]:
    """A group's incomplete uploads."""
    for path in tus_folder(settings).glob(f"*/{NOTE}"):
        upload = _read_note(path.parent)
        if upload and upload.owner == owner and upload.sha256 is None:
            yield upload


def promised_bytes(settings: Settings, owner: str, *, besides: str = "") -> int:
    """Bytes that a group's unfinished uploads have or will have, without the upload `besides`."""
    total = 0
    for upload in unfinished(settings, owner):
        if upload.id != besides:
            total += upload.length if upload.length is not None else offset_of(settings, upload)
    return total


def hold_slide(settings: Settings, client: str, slide: StoredSlide) -> None:
    """Record that a group keeps a stored slide."""
    hold(settings, client, Holding(slide.sha256, slide.name, stored_size(slide, settings)))


def _reserve(path: Path, size: int) -> None:
    """Reserve `size` bytes on the disk for a file without changing its size, where the file system can."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        if size == 0 or not sys.platform.startswith("linux"):
            return
        libc = ctypes.CDLL(None, use_errno=True)
        nothing, bytes_wanted = ctypes.c_int64(0), ctypes.c_int64(size)
        is_refused = libc.fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, nothing, bytes_wanted) != 0
        if is_refused and ctypes.get_errno() in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError(f"the service's disk has no room for {size} bytes")
    finally:
        os.close(descriptor)


def _read_note(folder: Path) -> Upload | None:
    try:
        return Upload(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # Being removed, or not an upload.
        return None


def _write_note(settings: Settings, upload: Upload) -> None:
    folder = tus_folder(settings) / upload.id
    part = folder / f"{NOTE}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(asdict(upload), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / NOTE)
