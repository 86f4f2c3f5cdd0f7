"""What values of settings may be: checked at the start, so that a service never runs with a setting nobody meant."""

from __future__ import annotations

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


def host_name(name: str) -> str:
    """`name` in lower case, if it is a host's name or address: no scheme, no port, no path."""
    bare = name.strip().lower().removeprefix("[").removesuffix("]")
    if not bare or set(bare) & set("/@*, ") or (":" in bare and bare.count(":") < 2):
        raise ValueError(f"{name!r} is not a host's name: write it without scheme, port and path")
    return bare
