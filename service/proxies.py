"""What reverse proxies say of the service: the prefix that it is served below, and which proxies are believed.

The prefix of the request that is being answered is kept in a context variable, because links are made far below the
routes. A worker, which answers no request, takes the prefix of the settings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated

from pydantic import AfterValidator

#: Segments of unreserved characters (RFC 3986), none of them "." or "..".
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]{1,64}){1,8}")
#: First segments of the service's own paths. Below a prefix that begins with one of them, "/jobs/1" could be a path
#: with its prefix or one whose prefix the proxy has taken away.
OWN_SEGMENTS = frozenset(
    [
        *("detect", "docs", "healthz", "jobs", "jobs.csv", "jobs.zip", "me", "metrics", "models", "openapi.json"),
        *("readyz", "static", "uploads"),
    ]
)
MAX_SHOWN = 100  # characters of a refused value

_current: ContextVar[str] = ContextVar("prefix", default="")


def check_prefix(value: str) -> str:
    """The prefix, if it can be one; ValueError otherwise.

    Examples
    --------
    >>> from service.proxies import check_prefix
    >>> check_prefix("/pathology/mito")
    '/pathology/mito'
    """
    if value and not _PREFIX.fullmatch(value):
        raise ValueError(
            f"{value[:MAX_SHOWN]!r} is no path: it begins with '/', does not end with it, and has letters, digits and "
            "'-._~' between; '/mitoscan', say"
        )
    if value and value.split("/")[1] in OWN_SEGMENTS:
        raise ValueError(f"{value[:MAX_SHOWN]!r} begins as the service's own paths do: choose another one")
    return value


def check_proxy(value: str) -> str:
    """The address or network of a proxy, if it is one; ValueError otherwise."""
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(
            f"{value[:MAX_SHOWN]!r} is neither an IP address nor a network such as '10.0.0.0/8'"
        ) from error
    return value


Prefix = Annotated[str, AfterValidator(check_prefix)]
Proxy = Annotated[str, AfterValidator(check_proxy)]


@contextmanager
def served_below(prefix: str) -> Iterator[None]:
    """Links that are made meanwhile begin with the prefix."""
    token = _current.set(prefix)
    try:
        yield
    finally:
        _current.reset(token)


def link(path: str) -> str:
    """The address of one of the service's paths: the path below the prefix.

    Examples
    --------
    >>> from service.proxies import link, served_below
    >>> with served_below("/mito"):
    ...     link("/jobs")
    '/mito/jobs'
    """
    return f"{_current.get()}{path}"
