"""Which client sends a request, in which role: API keys, stored only as SHA-256, and tokens of an identity provider."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path

from service.access.oidc import ISSUER_TIMEOUT, InvalidTokenError, IssuerUnreachableError, TokenVerifier
from service.access.outbound import open_client
from service.problems import ReportedError
from service.settings import Settings

KEYS_FILE = "api-keys.txt"
MAX_CLIENT_NAME = 128


class NotAuthenticatedError(ReportedError):
    """The request has no API key, or an unknown one."""

    problem_type = "not-authenticated"


class IdentityProviderError(ReportedError):
    """The identity provider cannot be reached, so that a token cannot be checked."""

    problem_type = "identity-unknown"


class NotAllowedError(ReportedError):
    """The key's role does not allow this."""

    problem_type = "not-allowed"


class Role(IntEnum):
    """What a client may do; each role includes the lower ones."""

    READ = 1  # see its own jobs
    SUBMIT = 2  # submit scans, cancel its own jobs
    ADMIN = 3  # see the jobs of all clients, and metrics


@dataclass(frozen=True)
class Client:
    """The client that sends a request."""

    name: str
    role: Role

    def require(self, role: Role) -> None:
        """NotAllowedError unless the client has at least this role."""
        if self.role < role:
            raise NotAllowedError(
                f"{self.name!r} has the role {self.role.name.lower()}; this needs the role {role.name.lower()}"
            )


#: The client of every request where keys are off.
LOCAL = Client("local", Role.ADMIN)


class Tokens:
    """Tokens of an identity provider, as clients."""

    def __init__(self, verifier: TokenVerifier, roles: Mapping[str, str]) -> None:
        self._verifier = verifier
        self._roles = {value: Role[role.upper()] for value, role in roles.items()}

    def identify(self, token: str) -> Client:
        """The client that the token identifies, with the highest of the roles that its claim maps to."""
        try:
            identity = self._verifier.verify(token)
        except InvalidTokenError as error:
            raise NotAuthenticatedError(str(error)) from error
        except IssuerUnreachableError as error:
            raise IdentityProviderError(str(error)) from error
        roles = [self._roles[value] for value in identity.roles if value in self._roles]
        if not roles:
            raise NotAllowedError("the token has no role that the setting oidc_roles lists")
        return Client(f"oidc:{identity.subject}"[:MAX_CLIENT_NAME], max(roles))


class KeyRing:
    """The keys and tokens that are accepted. Without any, everyone is LOCAL."""

    def __init__(self, entries: dict[str, str], tokens: Tokens | None = None) -> None:
        self._tokens = tokens
        self._clients: dict[str, Client] = {}
        for name, entry in entries.items():
            role, _, digest = entry.rpartition(":")
            self._clients[digest.lower()] = Client(name, Role[(role or "submit").upper()])

    @property
    def is_open(self) -> bool:
        """True if requests need no key."""
        return not self._clients and self._tokens is None

    def identify(self, key: str | None) -> Client:
        """The client that this key or token belongs to."""
        if self.is_open:
            return LOCAL
        if not key:
            raise NotAuthenticatedError("send an API key in the header 'X-API-Key' or 'Authorization: Bearer'")
        if self._tokens and key.count(".") == 2:  # The three parts of a JSON web token.
            return self._tokens.identify(key)
        # Keys are long and random, so the timing of this look-up does not help an attacker.
        client = self._clients.get(hash_key(key))
        if client is None:
            raise NotAuthenticatedError("unknown API key")
        return client


def hash_key(key: str) -> str:
    """SHA-256 of a key, as the settings hold it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def load_keys(settings: Settings) -> tuple[KeyRing, str | None]:
    """The key ring of `settings`, and a new key to show once if one had to be created."""
    tokens = _load_tokens(settings)
    if settings.api_keys or tokens:
        return KeyRing(settings.api_keys, tokens), None
    if settings.is_loopback:
        return KeyRing({}), None
    return _own_key(settings.data / KEYS_FILE)


def _load_tokens(settings: Settings) -> Tokens | None:
    if settings.oidc_issuer is None:
        return None
    verifier = TokenVerifier(
        settings.oidc_issuer,
        settings.oidc_audience or "mitoscan",
        role_claim=settings.oidc_role_claim,
        open_client=partial(open_client, settings, timeout=ISSUER_TIMEOUT),
    )
    return Tokens(verifier, settings.oidc_roles)


def _own_key(path: Path) -> tuple[KeyRing, str | None]:
    """The key ring of a server on a network address without keys: one admin key, its hash stored in the data folder."""
    if path.exists():
        return KeyRing({"admin": path.read_text(encoding="utf-8").strip()}), None
    key = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"admin:{hash_key(key)}\n", encoding="utf-8")
    path.chmod(0o600)
    return KeyRing({"admin": f"admin:{hash_key(key)}"}), key
