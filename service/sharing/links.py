"""Makes share links, and says whose a link is that comes back: of a client that sees one job."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from service.access.key_ring import KeyRing
from service.access.keys import NO_GROUP, Client, SharedJob, hash_key
from service.problems import ReportedError
from service.proxies import link
from service.settings import Settings
from service.settings.rules import Role
from service.sharing.secret import ShareSecret, SharingOffError
from service.sharing.shares import Share, Shares
from service.sharing.tokens import Claims, InvalidLinkError, not_of_this_service, sign, verify

HOUR = 3600.0  # seconds
#: How long a link is valid if nobody says: a week, or what the setting allows.
USUAL_H = 7 * 24


class TooLongError(ReportedError):
    """A link was to be valid for longer than the setting allows."""

    problem_type = "invalid-request"


@dataclass(frozen=True)
class Asked:
    """What somebody asks of a new link."""

    job: str
    #: Name of the key of who asks.
    by: str
    note: str = ""
    #: Hours; None: as long as usual.
    expires_in_h: int | None = None


@dataclass(frozen=True)
class MadeLink:
    """A new share, with its link: nothing keeps that, so it must be shown now."""

    share: Share
    #: Path of the page with the token behind the #, where no request carries it, and so no log of a proxy.
    address: str


class Links:
    """Share links of one service."""

    def __init__(self, shares: Shares, settings: Settings, keys: KeyRing) -> None:
        self.shares = shares
        self.longest_h = settings.share_max_h
        self._secret = ShareSecret(settings)
        self._keys = keys

    @property
    def are_on(self) -> bool:
        """True if links can be made: not where everyone may do everything already."""
        return self.longest_h > 0 and not self._keys.is_open

    def make(self, asked: Asked, *, now: float) -> MadeLink:
        """A new link to a job.

        Raises
        ------
        SharingOffError
            The service makes none.
        TooLongError
            It would be valid for longer than `share_max_h`.
        SharesFullError, JobNotFoundError
            The job takes no more.
        """
        self._require_on()
        hours = min(USUAL_H, self.longest_h) if asked.expires_in_h is None else asked.expires_in_h
        if hours > self.longest_h:
            raise TooLongError(f"expires_in_h: {hours} is more than the {self.longest_h} hours of share_max_h")
        # Whole seconds, as tokens have them.
        made_at, expires_at = float(int(now)), int(now) + hours * HOUR
        claims = Claims(secrets.token_hex(8), asked.job)
        token = sign(claims, self._secret.read_or_make(), made_at=made_at, expires_at=expires_at)
        share = Share(claims.share, asked.job, hash_key(token), asked.by, asked.note, made_at, expires_at)
        self.shares.add(share)
        return MadeLink(share, link(f"/jobs/{asked.job}/view#token={token}"))

    def identify(self, token: str) -> Client:
        """The client that a link makes of whoever has it.

        Raises
        ------
        InvalidLinkError
            The link has expired or been revoked, or is not of this service.
        """
        secret = self._secret.read()
        if secret is None or not self.longest_h:
            raise not_of_this_service()
        claims = verify(token, secret)
        share = self.shares.find(claims.share)
        if share is None or share.job != claims.job or not hmac.compare_digest(share.sha256, hash_key(token)):
            raise InvalidLinkError("the link has been revoked: ask who sent it for a new one")
        return Client(f"share:{share.id}", Role.READ, NO_GROUP, shared=SharedJob(share.id, share.job))

    def _require_on(self) -> None:
        if self._keys.is_open:
            raise SharingOffError(
                "this service asks for no key, so a link would protect nothing: make a key by `mitoscan keys add`"
            )
        if not self.longest_h:
            raise SharingOffError("this service makes no links: the setting share_max_h is 0")
