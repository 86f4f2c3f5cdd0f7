"""Sources: slides that a client names instead of sending: a server path, an earlier upload, a URL.

Nothing is reachable that the settings do not list: no folder and no URL by default.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from service.intake import BadRequestError, StoredSlide, check_header, clean_name, receive_raw
from service.resumable import find_finished
from service.settings import Settings

#: Bytes read from both ends of a server file for its fingerprint.
SAMPLE = 1 << 20
URL_TIMEOUT = 30.0  # seconds without a byte
_UPLOAD_ID = re.compile(r"[0-9a-f]{64}")


class SourceForbiddenError(Exception):
    """Not on the allow list."""


class SourceNotFoundError(LookupError):
    """On the allow list, but not there."""


class SourceFetchError(Exception):
    """The URL could not be fetched."""


def find_path(path: str, settings: Settings) -> StoredSlide:
    """The slide at a server path within an allowed folder; links that lead out of it are refused."""
    if "\0" in path:
        raise BadRequestError("a path has no NUL in it")
    for folder in settings.slide_folders:
        root = folder.resolve()
        found = _resolved(root / path)
        if found.is_relative_to(root):
            if not found.is_file():
                raise SourceNotFoundError("no such file")
            return StoredSlide(str(found), fingerprint(found), clean_name(found.name), check_header(found, settings))
    raise SourceForbiddenError("the path lies in no folder that this service may read from")


def find_upload(upload_id: str, settings: Settings) -> StoredSlide:
    """The slide uploaded before under this id: that of POST /uploads, or that of a finished tus upload."""
    upload_id = find_finished(upload_id, settings) or upload_id
    folder = settings.uploads / upload_id
    if not _UPLOAD_ID.fullmatch(upload_id) or not folder.is_dir():
        raise SourceNotFoundError("no such upload")
    found = next(folder.glob("slide.*"), None)
    if found is None:
        raise SourceNotFoundError("the upload has been removed")
    relative = str(found.relative_to(settings.data.resolve()))
    return StoredSlide(relative, upload_id, found.name, check_header(found, settings))


async def fetch_url(url: str, settings: Settings) -> StoredSlide:
    """The slide at an allowed URL, streamed to disk. Redirects are not followed: they could lead anywhere."""
    if not _is_allowed(url, settings.url_prefixes):
        raise SourceForbiddenError("the URL is not on this service's allow list")
    try:
        async with (
            httpx.AsyncClient(timeout=URL_TIMEOUT, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise SourceFetchError(f"the URL answered {response.status_code}")
            name = urlsplit(url).path.rsplit("/", 1)[-1]
            return await receive_raw(response.aiter_bytes(), settings, name=name)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceFetchError(type(error).__name__) from error


def fingerprint(path: Path) -> str:
    """Identity of a large file on the server: place, size, time of change, and both ends."""
    status = path.stat()
    digest = hashlib.sha256(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    with path.open("rb") as file:
        digest.update(file.read(SAMPLE))
        file.seek(max(0, status.st_size - SAMPLE))
        digest.update(file.read(SAMPLE))
    return digest.hexdigest()


def _resolved(path: Path) -> Path:
    try:
        path.stat()
        return path.resolve(strict=True)
    except FileNotFoundError:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # A name too long, a loop of links, no permission.
        raise SourceNotFoundError("no such file") from error


def _is_allowed(url: str, prefixes: tuple[str, ...]) -> bool:
    """True if `url` has a prefix's scheme, host and port, and a path below its path."""
    try:
        asked = urlsplit(url)
        return any(_is_below(asked, urlsplit(prefix)) for prefix in prefixes)
    except ValueError:
        return False


def _is_below(asked: SplitResult, allowed: SplitResult) -> bool:
    if "@" in asked.netloc or ".." in unquote(asked.path).replace("\\", "/").split("/"):
        return False
    same_place = (asked.scheme, asked.hostname, asked.port) == (allowed.scheme, allowed.hostname, allowed.port)
    return same_place and asked.path.startswith(allowed.path.rstrip("/") + "/")
