"""Slides on the server that a request refers to: a path in an allowed folder, or an earlier upload.

Only folders in the setting slide_folders can be read: by default none.
"""

from __future__ import annotations

import hashlib
import os
from itertools import islice
from pathlib import Path

from service.access.keys import Client
from service.problems import ReportedError
from service.settings import Settings
from service.slides_in.holdings import find_holding
from service.slides_in.multifile import MAIN_FILES, MAX_FILES
from service.slides_in.multipart import BadRequestError
from service.slides_in.store_slide import StoredSlide, check_header, clean_name, is_sha256
from service.slides_in.tus import find_finished

#: Bytes read from both ends of a server file for its fingerprint.
SAMPLE = 1 << 20


class SourceForbiddenError(ReportedError):
    """The source is not on the allow list."""

    problem_type = "source-forbidden"


class SourceNotFoundError(ReportedError, LookupError):
    """The source is allowed, but does not exist."""

    problem_type = "source-not-found"


def find_path(path: str, settings: Settings) -> StoredSlide:
    """The slide at a server path within an allowed folder; links that lead out of it are refused."""
    if "\0" in path:
        raise BadRequestError("a path must not contain NUL")
    for folder in settings.slide_folders:
        root = folder.resolve()
        found = _resolved(root / path)
        if found.is_relative_to(root):
            if not found.is_file():
                raise SourceNotFoundError("no such file")
            return StoredSlide(str(found), fingerprint(found), clean_name(found.name), check_header(found, settings))
    raise SourceForbiddenError("the path is outside the folders that this service may read (slide_folders)")


def find_upload(upload_id: str, settings: Settings, *, client: Client) -> StoredSlide:
    """The slide of an earlier, complete upload, resumable or not, under the name that the client's group gave it.

    Who knows a slide's hash has not sent it: other groups' uploads do not exist for the client.
    """
    resumed = find_finished(settings, upload_id)
    if resumed and not client.may_see(resumed.owner):
        raise SourceNotFoundError("no such upload")
    upload_id = (resumed and resumed.sha256) or upload_id
    folder = settings.uploads / upload_id
    held = find_holding(settings, client.group, upload_id) if is_sha256(upload_id) else None
    is_known = is_sha256(upload_id) and (held is not None or client.sees is None)
    if not is_known or not folder.is_dir():
        raise SourceNotFoundError("no such upload")
    found = next(folder.glob("slide.*"), None)
    if found is None:
        raise SourceNotFoundError("the upload has been removed")
    os.utime(folder)  # Keeps the cleaning from removing an old upload at the moment when a job refers to it.
    relative = str(found.relative_to(settings.data.resolve()))
    name = resumed.name if resumed else held.name if held else found.name
    return StoredSlide(relative, upload_id, name, check_header(found, settings))


def fingerprint(path: Path) -> str:
    """Identity of a slide on the server: path, sizes and times of its files, and both ends of the file at the path."""
    status = path.stat()
    digest = hashlib.sha256(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    with path.open("rb") as file:
        digest.update(start := file.read(SAMPLE))
        file.seek(max(0, status.st_size - SAMPLE))
        digest.update(file.read(SAMPLE))
    for further in _companions(path, start):
        status = further.stat()
        digest.update(f"{further.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _companions(path: Path, start: bytes) -> list[Path]:
    """The further files of a slide in several files, at most MAX_FILES of them."""
    in_own_folder = MAIN_FILES.get(path.suffix.lower())
    if in_own_folder is None and start[128:132] != b"DICM":
        return []
    folder = path.with_suffix("") if in_own_folder else path.parent
    found = islice(folder.iterdir(), MAX_FILES) if folder.is_dir() else ()
    return sorted(further for further in found if further.is_file())


def _resolved(path: Path) -> Path:
    try:
        path.stat()
        return path.resolve(strict=True)
    except FileNotFoundError:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # A name too long, a loop of links, no permission.
        raise SourceNotFoundError("no such file") from error
