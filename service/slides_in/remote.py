"""Remote slides: opened as a stream, from a URL or object store on the allow list. By default nothing is allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from service.access.allowlist import is_allowed
from service.access.outbound import authorization_for, open_async_client, reason_of
from service.problems import ReportedError
from service.settings import Settings
from service.slides_in import dicomweb
from service.slides_in.object_store import SCHEMES, ObjectNotFoundError, ObjectStoreError, open_object
from service.slides_in.server_paths import SourceForbiddenError, SourceNotFoundError

URL_TIMEOUT = 30.0  # seconds without a byte


class SourceFetchError(ReportedError):
    """The URL could not be fetched."""

    problem_type = "source-unreachable"


@dataclass(frozen=True)
class Remote:
    """An open remote slide."""

    #: Bytes, if the server states them.
    size: int | None
    chunks: AsyncIterator[bytes]
    content_type: str = ""


def check_url(url: str, settings: Settings) -> None:
    """Raise SourceForbiddenError unless this service may fetch from there."""
    if not is_allowed(url, settings.url_prefixes):
        raise SourceForbiddenError("the URL is not on this service's allow list (url_prefixes)")
    if urlsplit(url).scheme in SCHEMES and ("?" in url or "#" in url):
        raise SourceForbiddenError("the URL of an object must not have a query or a fragment")


def name_in(url: str) -> str:
    """The file name in a URL."""
    return urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]


@asynccontextmanager
async def open_url(url: str, settings: Settings) -> AsyncIterator[Remote]:
    """The slide at an allowed URL. Redirects are not followed: they could lead anywhere.

    Raises
    ------
    SourceForbiddenError, SourceNotFoundError, SourceFetchError
        Also while its chunks are read.
    """
    check_url(url, settings)
    try:
        if urlsplit(url).scheme in SCHEMES:
            yield Remote(*await open_object(url))
            return
        headers = authorization_for(url, settings) | (dicomweb.HEADERS if dicomweb.is_series(url) else {})
        async with (
            open_async_client(settings, timeout=URL_TIMEOUT) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == httpx.codes.NOT_FOUND:
                raise SourceNotFoundError("the URL answered 404")
            if response.status_code != httpx.codes.OK:
                raise SourceFetchError(f"the URL answered {response.status_code}")
            declared = response.headers.get("content-length", "")
            size = int(declared) if declared.isdecimal() else None
            yield Remote(size, response.aiter_bytes(), response.headers.get("content-type", ""))
    except ObjectNotFoundError as error:
        raise SourceNotFoundError("no such object") from error
    except ObjectStoreError as error:
        raise SourceFetchError(str(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceFetchError(reason_of(error)) from error
