"""OpenID Connect: verifies tokens with the keys that the identity provider publishes (extra `oidc`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import httpx
import jwt
from jwt import PyJWK
from jwt.algorithms import has_crypto

from service.access.outbound import reason_of
from service.access.published_keys import PublishedKeys

#: Only asymmetric signatures: with a shared secret or "none" others could make tokens.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
#: Tolerated difference of clocks.
LEEWAY = 30.0  # seconds
ISSUER_TIMEOUT = 10.0  # seconds
#: The issuer is asked again for its keys after this time.
KEYS_LAST = 300.0  # seconds
#: But not sooner than this, whatever key ids tokens name: anyone can make them up. A new key may wait as long.
UNKNOWN_KEY_PAUSE = 60.0  # seconds
MAX_TOKEN = 8192


class InvalidTokenError(Exception):
    """The token is not from the issuer, not for this service, or expired."""


class IssuerUnreachableError(Exception):
    """The issuer's keys cannot be fetched."""


@dataclass(frozen=True)
class Identity:
    """The subject and roles of a token."""

    subject: str
    #: Values of the claim that holds roles or groups.
    roles: tuple[str, ...]
    #: Values of the claim that holds the group; None if none is asked for.
    groups: tuple[str, ...] | None


class TokenVerifier:
    """Verifies tokens of one issuer, which it asks by clients of `open_client`."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        role_claim: str,
        group_claim: str | None = None,
        open_client: Callable[[], httpx.Client],
    ) -> None:
        if not has_crypto:
            raise RuntimeError("oidc_issuer needs the extra 'oidc': pip install 'mitoscan[oidc]'")
        self._issuer, self._audience = issuer, audience
        self._role_claim, self._group_claim = role_claim, group_claim
        self._source: PublishedKeys | None = None
        self._open_client = open_client
        self._known: list[PyJWK] = []
        self._asked_at = 0.0
        self._lock = Lock()

    def verify(self, token: str) -> Identity:
        """The identity in a token.

        Raises
        ------
        InvalidTokenError
            Its signature, issuer, audience or times are wrong.
        IssuerUnreachableError
            The issuer's keys cannot be fetched.
        """
        if len(token) > MAX_TOKEN:
            raise InvalidTokenError("the token is too long")
        try:
            key = self._find_key(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.exceptions.PyJWKClientConnectionError as error:
            raise IssuerUnreachableError(f"the identity provider cannot be reached: {error}") from error
        except (jwt.exceptions.PyJWTError, ValueError) as error:
            raise InvalidTokenError(f"the token is not valid: {error}") from error
        groups = None if self._group_claim is None else _as_groups(claims.get(self._group_claim))
        return Identity(str(claims["sub"]), _as_roles(claims.get(self._role_claim)), groups)

    def _find_key(self, token: str) -> PyJWK:
        """The issuer's key that the token says it is signed with."""
        named = str(jwt.get_unverified_header(token).get("kid"))
        with self._lock:
            now = time.monotonic()
            key = next((key for key in self._known if key.key_id == named), None)
            is_due = key is None or now - self._asked_at > KEYS_LAST
            if not self._known or (is_due and now - self._asked_at >= UNKNOWN_KEY_PAUSE):
                self._asked_at = now  # Also if it fails.
                self._known = self._fetch_keys()
                key = next((key for key in self._known if key.key_id == named), None)
        if key is None:
            raise InvalidTokenError("the token is not signed with a key of the identity provider")
        return key

    def _fetch_keys(self) -> list[PyJWK]:
        if self._source is None:
            self._source = PublishedKeys(self._find_keys(), self._open_client)
        return self._source.get_signing_keys()

    def _find_keys(self) -> str:
        """URL of the issuer's keys, from its discovery document."""
        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            with self._open_client() as client:
                found = client.get(address).raise_for_status().json()
            issuer, keys = str(found["issuer"]), str(found["jwks_uri"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise IssuerUnreachableError(f"the identity provider cannot be reached: {reason_of(error)}") from error
        if issuer != self._issuer:
            raise IssuerUnreachableError(
                f"the identity provider calls itself {issuer[:255]!r}, not {self._issuer!r}: correct oidc_issuer"
            )
        return keys


def _as_roles(claim: Any) -> tuple[str, ...]:
    """The claim as a tuple: issuers write one string, several separated by spaces, or a list."""
    return tuple(claim.split()) if isinstance(claim, str) else tuple(map(str, claim or ()))


def _as_groups(claim: Any) -> tuple[str, ...]:
    """The claim as a tuple; a string is one group, whose name may have spaces."""
    return (claim,) if isinstance(claim, str) else tuple(map(str, claim or ()))
