"""Whose a key or token is: the keys of the settings and of the data folder, and tokens of an identity provider."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from service.access.keys import LOCAL, Client, IdentityProviderError, NotAllowedError, NotAuthenticatedError, hash_key
from service.access.keys_file import KeysFile, KeysFileError
from service.access.oidc import ISSUER_TIMEOUT, Identity, InvalidTokenError, IssuerUnreachableError, TokenVerifier
from service.access.outbound import open_client
from service.settings import Settings
from service.settings.rules import MAX_KEY_NAME, KeyEntry, Role, read_key_entry

#: The key that is made at the first start on a network address.
FIRST_KEY = "admin"
#: Where versions without a file of keys kept that one.
FORMER_FILE = "api-keys.txt"


class Tokens:
    """Tokens of an identity provider, as clients."""

    def __init__(self, verifier: TokenVerifier, roles: Mapping[str, str]) -> None:
        self._verifier = verifier
        self._roles = {value: Role(role) for value, role in roles.items()}

    def identify(self, token: str) -> Client:
        """The client that the token identifies, with the role of those in its claim that may do most."""
        try:
            identity = self._verifier.verify(token)
        except InvalidTokenError as error:
            raise NotAuthenticatedError(str(error)) from error
        except IssuerUnreachableError as error:
            raise IdentityProviderError(str(error)) from error
        roles = [self._roles[value] for value in identity.roles if value in self._roles]
        if not roles:
            raise NotAllowedError("the token has no role that the setting oidc_roles lists")
        name = f"oidc:{identity.subject}"[:MAX_KEY_NAME]
        return Client(name, max(roles, key=list(Role).index), _group_of(identity) or name)


def _group_of(identity: Identity) -> str | None:
    """The group in a token; None if groups are not taken from tokens."""
    if identity.groups is None:
        return None
    if len(identity.groups) != 1 or not 0 < len(identity.groups[0]) <= MAX_KEY_NAME:
        named = f"{len(identity.groups)} groups" if len(identity.groups) != 1 else "a group of no usable name"
        raise NotAllowedError(f"the token names {named} in the claim of oidc_group_claim; it must name one")
    return identity.groups[0]


class KeyRing:
    """The keys and tokens that are accepted. Without any, where that is allowed, everyone is LOCAL."""

    def __init__(
        self,
        entries: Mapping[str, str],
        tokens: Tokens | None = None,
        *,
        file: KeysFile | None = None,
        may_be_open: bool = True,
    ) -> None:
        read = [read_key_entry(name, text) for name, text in entries.items()]
        self._entries = {entry.sha256: entry for entry in read}
        self._tokens = tokens
        self._file = file
        self._may_be_open = may_be_open

    @property
    def is_open(self) -> bool:
        """True if requests need no key."""
        has_file = self._file is not None and self._file.is_there
        return self._may_be_open and not self._entries and self._tokens is None and not has_file

    def identify(self, key: str | None) -> Client:
        """The client that this key or token belongs to."""
        if self.is_open:
            return LOCAL
        if not key:
            raise NotAuthenticatedError("send an API key in the header 'X-API-Key' or 'Authorization: Bearer'")
        if self._tokens and key.count(".") == 2:  # The three parts of a JSON web token.
            return self._tokens.identify(key)
        entry = self._find(hash_key(key))
        if entry is None:
            raise NotAuthenticatedError("unknown API key")
        return Client(entry.name, entry.role, entry.group)

    def _find(self, digest: str) -> KeyEntry | None:
        # Keys are long and random, so the timing of this look-up does not help an attacker.
        found = self._entries.get(digest)
        return found or (self._file.entries().get(digest) if self._file else None)


def load_keys(settings: Settings) -> tuple[KeyRing, str | None]:
    """The key ring of `settings`, and a new key to show once if one had to be created."""
    tokens, file = _load_tokens(settings), KeysFile(settings.data)
    file.entries()  # A file that cannot be read must not be noticed by the first request.
    may_be_open = settings.is_loopback or settings.without_keys
    ring = KeyRing(settings.api_keys, tokens, file=file, may_be_open=may_be_open)
    is_keyless = not (settings.api_keys or tokens or may_be_open)
    return ring, _first_key(settings, file) if is_keyless else None


def _load_tokens(settings: Settings) -> Tokens | None:
    if settings.oidc_issuer is None:
        return None
    verifier = TokenVerifier(
        settings.oidc_issuer,
        settings.oidc_audience or "mitoscan",
        role_claim=settings.oidc_role_claim,
        group_claim=settings.oidc_group_claim,
        open_client=partial(open_client, settings, timeout=ISSUER_TIMEOUT),
    )
    return Tokens(verifier, settings.oidc_roles)


def _first_key(settings: Settings, file: KeysFile) -> str | None:
    """A new admin key, for a server on a network address without keys; None if there is a file of keys."""
    former = settings.data / FORMER_FILE
    if file.is_there:
        return None
    with suppress(KeysFileError):  # Another process has just made it.
        if not former.exists():
            return file.add(FIRST_KEY, group=FIRST_KEY, role=Role.ADMIN)
        file.add_digest(read_key_entry(FIRST_KEY, former.read_text(encoding="utf-8")))
        former.unlink()
    return None
