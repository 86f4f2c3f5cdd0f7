"""What values of settings may be: checked at the start, so that a service never runs with a setting nobody meant."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from croniter import croniter
from standardwebhooks import Webhook

GIB = 1024**3
#: With less, a worker cannot scan even the smallest tiles.
MIN_WORKER_MEMORY = 2 * GIB


def enough_memory(size: int) -> int:
    """`size`, if it is 0 or a scan's least."""
    if 0 < size < MIN_WORKER_MEMORY:
        raise ValueError(f"{size} bytes are not enough for a scan: set at least {MIN_WORKER_MEMORY}")
    return size


def webhook_key(secret: str) -> str:
    """`secret`, if webhooks can be signed with it."""
    Webhook(secret)
    return secret


def cron_schedule(schedule: str) -> str:
    """`schedule`, if it is a cron expression."""
    if not croniter.is_valid(schedule):
        raise ValueError(f"{schedule!r} is not a cron expression")
    return schedule


def certificates(path: Path) -> Path:
    """`path`, if it is a file of certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{path} is no file of certificates in PEM form: {error}") from error
    return path


def http_address(url: str) -> str:
    """`url`, if it is one of http or https, or empty."""
    parts = urlsplit(url)
    if url and not (parts.scheme in {"http", "https"} and parts.hostname):
        raise ValueError(f"{url!r} is not the http or https URL of a proxy")
    return url


def header_value(text: str) -> str:
    """`text`, if it can be sent in a header."""
    if not (text.isascii() and text.isprintable() and text.strip()):
        raise ValueError("the value of a header has printable ASCII characters only")  # It is a secret: not shown.
    return text
