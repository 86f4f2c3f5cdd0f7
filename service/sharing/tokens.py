"""The token within a share link: a signed JSON web token (RFC 7519) that names one share of one job."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode
from dataclasses import dataclass

import jwt
from jwt.types import Options

from service.problems import ReportedError

#: Kind of token (RFC 8725, 3.11): one of an identity provider is never taken for a link, nor a link for one.
KIND = "mitoscan-share+jwt"
#: A shared secret serves: who verifies is who has signed.
ALGORITHM = "HS256"
#: The time of making is not compared with the clock: that of another host of the service may be behind.
_OPTIONS: Options = {"require": ["sub", "exp"], "verify_iat": False}
#: Characters; a token has about 300. So few cannot be nested deeply enough to make a parser fail.
MAX_TOKEN = 512


class InvalidLinkError(ReportedError):
    """The link has expired or been revoked, or this service has not made it."""

    problem_type = "link-not-valid"


@dataclass(frozen=True)
class Claims:
    """What a token says."""

    share: str
    job: str


def sign(claims: Claims, secret: str, *, made_at: float, expires_at: float) -> str:
    """The token; no two are the same, so that it cannot be made again from what the database has of it."""
    payload = {
        "sub": claims.share,
        "job": claims.job,
        "iat": int(made_at),
        "exp": int(expires_at),
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode(payload, secret, ALGORITHM, headers={"typ": KIND})


def is_share_token(key: str) -> bool:
    """True if a key says of itself that it is the token of a link; `verify` says whether it is."""
    header = key.partition(".")[0]
    try:
        # Not parsed: of a link that was cut or changed it should still be said that it is a link.
        return len(key) <= MAX_TOKEN and f'"{KIND}"'.encode() in urlsafe_b64decode(f"{header}==")
    except ValueError:
        return False


def verify(token: str, secret: str) -> Claims:
    """What a token says, if it was signed with this secret and has not expired.

    Raises
    ------
    InvalidLinkError
        Otherwise; says which of the two.
    """
    try:
        said = jwt.decode(token, secret, [ALGORITHM], options=_OPTIONS)
        return Claims(said["sub"], said["job"])
    except jwt.ExpiredSignatureError as error:
        raise InvalidLinkError("the link has expired: ask who sent it for a new one") from error
    except (jwt.PyJWTError, ValueError, KeyError) as error:
        raise not_of_this_service() from error


def not_of_this_service() -> InvalidLinkError:
    """What is said of a forged link, and of one that a mail program has cut."""
    return InvalidLinkError(
        "the link is not of this service, or a part of it is missing: copy the whole link, or ask who sent it for a "
        "new one"
    )
