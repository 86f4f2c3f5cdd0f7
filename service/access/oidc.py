"""OpenID Connect: verifies tokens with the keys that the identity provider publishes (extra `oidc`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import httpx

from service.access.outbound import reason_of

if TYPE_CHECKING:
    from service.access.published_keys import PublishedKeys

#: Only asymmetric signatures: with a shared secret or "none" others could make tokens.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
#: Tolerated difference of clocks.
LEEWAY = 30.0  # seconds
ISSUER_TIMEOUT = 10.0  # seconds
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


class TokenVerifier:
    """Verifies tokens of one issuer, which it asks by clients of `open_client`."""

    def __init__(self, issuer: str, audience: str, *, role_claim: str, open_client: Callable[[], httpx.Client]) -> None:
        try:
            import jwt
        except ImportError as error:
            raise RuntimeError("oidc_issuer needs the extra 'oidc': pip install 'mitoscan[oidc]'") from error
        self._jwt = jwt
        self._issuer, self._audience, self._role_claim = issuer, audience, role_claim
        self._open_client = open_client
        self._keys: PublishedKeys | None = None
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
            key = self._key_client().get_signing_key_from_jwt(token)
            claims = self._jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except self._jwt.exceptions.PyJWKClientConnectionError as error:
            raise IssuerUnreachableError(f"the identity provider cannot be reached: {error}") from error
        except (self._jwt.exceptions.PyJWTError, ValueError) as error:
            raise InvalidTokenError(f"the token is not valid: {error}") from error
        return Identity(str(claims["sub"]), _as_roles(claims.get(self._role_claim)))

    def _key_client(self) -> PublishedKeys:
        from service.access.published_keys import PublishedKeys

        with self._lock:
            if self._keys is None:
                self._keys = PublishedKeys(self._find_keys(), self._open_client)
            return self._keys

    def _find_keys(self) -> str:
        """URL of the issuer's keys, from its discovery document."""
        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            with self._open_client() as client:
                answer = client.get(address).raise_for_status()
            return str(answer.json()["jwks_uri"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise IssuerUnreachableError(f"the identity provider cannot be reached: {reason_of(error)}") from error


def _as_roles(claim: Any) -> tuple[str, ...]:
    """The claim as a tuple: issuers write one string, several separated by spaces, or a list."""
    return tuple(claim.split()) if isinstance(claim, str) else tuple(map(str, claim or ()))
