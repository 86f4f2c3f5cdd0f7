"""Allow list: which URLs the service itself may call; none without an entry."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit


def is_allowed(url: str, prefixes: tuple[str, ...]) -> bool:
    """True if `url` has a prefix's scheme, host and port, and a path below its path."""
    try:
        asked = urlsplit(url)
        return any(_is_below(asked, urlsplit(prefix)) for prefix in prefixes)
    except ValueError:
        return False


def is_allowed_http(url: str, prefixes: tuple[str, ...]) -> bool:
    """The same of a URL that is called by HTTP, whatever schemes the prefixes have."""
    return url.startswith(("http://", "https://")) and is_allowed(url, prefixes)


def _is_below(asked: SplitResult, allowed: SplitResult) -> bool:
    if "@" in asked.netloc or ".." in unquote(asked.path).replace("\\", "/").split("/"):
        return False
    same_place = (asked.scheme, asked.hostname, asked.port) == (allowed.scheme, allowed.hostname, allowed.port)
    return same_place and asked.path.startswith(allowed.path.rstrip("/") + "/")
