"""What values of settings may be: checked at the start, so that a service never runs with a setting nobody meant."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import jwt
from croniter import croniter
from standardwebhooks import Webhook

PREFIX = "MITOSCAN_"
#: Variables that are no settings of the service: of the kernels, of `mitoscan labels`, and of the tests.
OTHER_VARIABLES = frozenset(
    {"MITOSCAN_NATIVE", "MITOSCAN_KEY", "MITOSCAN_MATRIX", "MITOSCAN_REQUIRE_ALL", "MITOSCAN_SCREENSHOTS"}
)

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
GIB = 1024**3
#: With less, a worker cannot scan even the smallest tiles.
MIN_WORKER_MEMORY = 2 * GIB
#: Characters of the name of a key, or of a group.
MAX_KEY_NAME = 128
#: Characters of a secret that signs share links: as many bytes as its signatures have.
MIN_SECRET = 32
#: As browsers write it; of a host's name, only the characters matter.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class LogFormat(StrEnum):
    """Format of log lines."""

    AUTO = "auto"  # text on a terminal, JSON elsewhere
    JSON = "json"  # one object per line
    TEXT = "text"  # for reading


class LogLevel(StrEnum):
    """Lowest level that is logged."""

    DEBUG = "DEBUG"  # every request, tiles too
    INFO = "INFO"  # requests, jobs
    WARNING = "WARNING"  # what an operator should look at
    ERROR = "ERROR"  # what has failed


def enough_memory(size: int) -> int:
    """`size`, if it is 0 or a scan's least."""
    if 0 < size < MIN_WORKER_MEMORY:
        raise ValueError(f"{size} bytes are not enough for a scan: set at least {MIN_WORKER_MEMORY}")
    return size


def webhook_key(secret: str) -> str:
    """`secret`, if webhooks can be signed with it."""
    Webhook(secret)
    return secret


def signing_secret(secret: str) -> str:
    """`secret`, if share links can be signed with it."""
    if len(secret) < MIN_SECRET:
        raise ValueError(f"{len(secret)} characters are not enough: `openssl rand -base64 32` makes a secret")
    try:
        jwt.encode({}, secret, "HS256")
    except jwt.InvalidKeyError as error:
        raise ValueError("a key of another kind is no secret: `openssl rand -base64 32` makes one") from error
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


def web_origin(text: str) -> str:
    """`text`, if it is the origin of a web page: scheme, host, port if it is not the usual one, and nothing else."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is not the origin of a web page: write it as 'https://lis.example'")
    return text


def issuer_address(url: str) -> str:
    """`url`, if it is one of https, or of http on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)) or not parts.hostname:
        raise ValueError(f"{url!r} is not an https URL")
    return url


class Role(Enum):
    """What a key is for; service.access.keys says what each may do."""

    METRICS = "metrics"  # the metrics, and nothing else
    READ = "read"  # see the jobs of its group, their results and reviews
    REVIEW = "review"  # and give verdicts
    SUBMIT = "submit"  # and submit, cancel and delete
    ADMIN = "admin"  # everything, for all groups


@dataclass(frozen=True)
class KeyEntry:
    """What is kept of a key: whose it is, and its digest."""

    name: str
    #: Keys of one group share its jobs and uploads.
    group: str
    role: Role
    #: Of the key, in hex.
    sha256: str


def key_entry(name: str, *, group: str, role: str, sha256: str) -> KeyEntry:
    """The entry; ValueError says which part of it cannot be."""
    for kind, text in (("name", name), ("group", group)):
        if not (0 < len(text) <= MAX_KEY_NAME and text.isprintable() and text == text.strip()):
            raise ValueError(f"{text!r} is not the {kind} of a key: 1 to {MAX_KEY_NAME} printable characters")
    roles = [role.value for role in Role]
    if role not in roles:
        raise ValueError(f"the key {name!r} has the role {role!r}: choose one of {', '.join(roles)}")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"the key {name!r} has {sha256!r} in place of 64 hex digits, the SHA-256 of the key")
    return KeyEntry(name, group, Role(role), sha256.lower())


def read_key_entry(name: str, text: str) -> KeyEntry:
    """The entry of 'SHA-256', 'role:SHA-256' or 'role:group:SHA-256'; by default submit, in a group of its own name."""
    before, _, sha256 = text.strip().rpartition(":")
    role, _, group = before.partition(":")
    return key_entry(name, group=group or name, role=(role or Role.SUBMIT.value).lower(), sha256=sha256)


def known_keys(entries: dict[str, str]) -> dict[str, str]:
    """`entries`, if each is one of a key, and no key has two names."""
    names: dict[str, str] = {}
    for name, text in entries.items():
        other = names.setdefault(read_key_entry(name, text).sha256, name)
        if other != name:
            raise ValueError(f"{other!r} and {name!r} are the same key: make one for each")
    return entries


def refuse_unknown_variables(environment: Mapping[str, str], settings: Iterable[str]) -> None:
    """ValueError if a variable of the environment is meant for mitoscan and sets nothing: a typing error, mostly."""
    known = {f"{PREFIX}{name.upper()}" for name in settings} | OTHER_VARIABLES
    unknown = sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known)
    said = []
    for name in unknown:
        near = get_close_matches(name.upper(), known, n=1)
        said.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    if said:
        raise ValueError(". ".join(said))


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
