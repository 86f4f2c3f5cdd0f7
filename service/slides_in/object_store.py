"""Object stores (s3, gs, az), read through obstore: the extra `objects`.

Credentials and endpoint come from the environment variables of the store's own tools: AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL and so on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore import GetResult

SCHEMES = frozenset({"s3", "gs", "az"})
CHUNK = 1 << 20


class ObjectNotFoundError(LookupError):
    """There is no such object."""


class ObjectStoreError(Exception):
    """The store cannot be reached, or denies access."""


async def open_object(url: str) -> tuple[int, AsyncIterator[bytes]]:
    """Size of an object, and its content as a stream.

    Raises
    ------
    ObjectNotFoundError
        There is none.
    ObjectStoreError
        The store refuses or cannot be reached, or obstore is not installed. Also while the content comes.
    """
    try:
        import obstore
        from obstore.store import from_url
    except ImportError as error:
        raise ObjectStoreError("object stores need the extra 'objects': pip install 'mitoscan[objects]'") from error
    place = urlsplit(url)
    with _own_errors():
        store = from_url(f"{place.scheme}://{place.netloc}")
        found = await obstore.get_async(store, place.path.lstrip("/"))
    return found.meta["size"], _chunks(found)


async def _chunks(found: GetResult) -> AsyncIterator[bytes]:
    with _own_errors():
        chunks = found.stream(min_chunk_size=CHUNK).__aiter__()
        while (chunk := await anext(chunks, None)) is not None:
            yield bytes(chunk)


@contextmanager
def _own_errors() -> Iterator[None]:
    from obstore import exceptions

    try:
        yield
    # obstore raises ValueError for what is not a valid name of an object.
    except (FileNotFoundError, exceptions.NotFoundError, ValueError) as error:
        raise ObjectNotFoundError("no such object") from error
    except (exceptions.BaseError, OSError) as error:
        raise ObjectStoreError(type(error).__name__) from error
