"""OpenID Connect: verifies tokens with the keys that the identity provider publishes (extra `oidc`)."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from jwt import PyJWKClient

#: Only asymmetric signatures: with a shared secret or "none" others could make tokens.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
#: Tolerated difference of clocks.
LEEWAY = 30.0  # seconds
TIMEOUT = 10.0  # seconds
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
    """Verifies tokens of one issuer."""

    def __init__(self, issuer: str, audience: str, *, role_claim: str) -> None:
        try:
            import jwt
        except ImportError as error:
            raise RuntimeError("oidc_issuer needs the extra 'oidc': pip install 'mitoscan[oidc]'") from error
        self._jwt = jwt
        self._issuer, self._audience, self._role_claim = issuer, audience, role_claim
        self._keys: PyJWKClient | None = None
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
            raise IssuerUnreachableError("the identity provider cannot be reached") from error
        except (self._jwt.exceptions.PyJWTError, ValueError) as error:
            raise InvalidTokenError(f"the token is not valid: {error}") from error
        return Identity(str(claims["sub"]), _as_roles(claims.get(self._role_claim)))

    def _key_client(self) -> PyJWKClient:
        with self._lock:
            if self._keys is None:
                self._keys = self._jwt.PyJWKClient(self._find_keys(), timeout=TIMEOUT)
            return self._keys

    def _find_keys(self) -> str:
        """URL of the issuer's keys, from its discovery document."""
        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            answer = httpx.get(address, timeout=TIMEOUT, follow_redirects=False, trust_env=False).raise_for_status()
            return str(answer.json()["jwks_uri"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise IssuerUnreachableError("the identity provider cannot be reached") from error


def _as_roles(claim: Any) -> tuple[str, ...]:
    """The claim as a tuple: issuers write one string, several separated by spaces, or a list."""
    return tuple(claim.split()) if isinstance(claim, str) else tuple(map(str, claim or ()))
