"""Object stores (s3, gs, az), read through obstore: the extra `objects`.

Who the service is to the store, and where the store is, says the environment, as for every other program: AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

SCHEMES = frozenset({"s3", "gs", "az"})
CHUNK = 1 << 20


class ObjectNotFoundError(LookupError):
    """There is no such object."""


class ObjectStoreError(Exception):
    """The store does not answer, or not to us."""


async def read_object(url: str) -> AsyncIterator[bytes]:
    """The bytes of an object as they come.

    Raises
    ------
    ObjectNotFoundError
        There is none.
    ObjectStoreError
        The store refuses or cannot be reached, or obstore is not installed.
    """
    try:
        import obstore
        from obstore import exceptions
        from obstore.store import from_url
    except ImportError as error:
        raise ObjectStoreError("object stores need the extra 'objects': pip install 'mitoscan[objects]'") from error
    place = urlsplit(url)
    try:
        store = from_url(f"{place.scheme}://{place.netloc}")
        found = await obstore.get_async(store, place.path.lstrip("/"))
        chunks = found.stream(min_chunk_size=CHUNK).__aiter__()
        while (chunk := await anext(chunks, None)) is not None:
            yield bytes(chunk)
    except (
        FileNotFoundError,
        exceptions.NotFoundError,
        ValueError,
    ) as error:  # ValueError: it cannot be a name of one.
        raise ObjectNotFoundError("no such object") from error
    except (exceptions.BaseError, OSError) as error:
        raise ObjectStoreError(type(error).__name__) from error
