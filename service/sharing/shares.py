"""The table of shares, beside that of the jobs: a share goes with its job, and what is not in the table is revoked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import sqlalchemy as sa

from service.jobs.database import metadata, reading, writing
from service.jobs.store import JobNotFoundError
from service.problems import ReportedError

#: Most links of one job that are valid at once.
MAX_SHARES = 50
#: Advisory lock on PostgreSQL: any unique number.
SHARE_LOCK = 7061463

_shares = sa.Table(
    "mitoscan_shares",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("job", sa.String(64), sa.ForeignKey("mitoscan_jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("sha256", sa.String(64), nullable=False),  # Of the token: who reads the database has no link.
    sa.Column("by", sa.String(128), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
)


class ShareNotFoundError(ReportedError, LookupError):
    """The job has no such share."""

    problem_type = "share-not-found"


class SharesFullError(ReportedError):
    """The job has as many links as one may have."""

    problem_type = "shares-full"


@dataclass(frozen=True)
class Share:
    """What is kept of a link."""

    id: str
    job: str
    #: SHA-256 of the token, in hex.
    sha256: str
    #: Name of the key that has made it.
    by: str
    note: str
    #: Seconds since 1970.
    made_at: float
    expires_at: float


class Shares:
    """Reads and writes shares."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, share: Share) -> None:
        """Write a new share.

        Raises
        ------
        SharesFullError
            The job has MAX_SHARES that have not expired.
        JobNotFoundError
            The job has been deleted meanwhile.
        """
        counting = sa.select(sa.func.count()).where(*_live(share.job, share.made_at))
        try:
            with writing(self._engine, lock=SHARE_LOCK) as connection:
                if connection.execute(counting).scalar_one() >= MAX_SHARES:
                    raise SharesFullError(f"a job has at most {MAX_SHARES} links at a time: revoke one")
                connection.execute(_shares.insert().values(asdict(share)))
        except sa.exc.IntegrityError as error:
            raise JobNotFoundError(f"no job {share.job!r}") from error

    def list_live(self, job_id: str, *, now: float) -> list[Share]:
        """The shares of a job that have not expired, the oldest first."""
        query = sa.select(_shares).where(*_live(job_id, now)).order_by(_shares.c.made_at, _shares.c.id)
        with reading(self._engine) as connection:
            return [_share(row) for row in connection.execute(query).mappings()]

    def find(self, share_id: str) -> Share | None:
        """The share of that id, expired or not; None if there is none, or none any more."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(_shares).where(_shares.c.id == share_id)).mappings().first()
        return None if row is None else _share(row)

    def revoke(self, job_id: str, share_id: str) -> None:
        """Delete a share of a job.

        Raises
        ------
        ShareNotFoundError
            It has none of that id.
        """
        own = (_shares.c.job == job_id) & (_shares.c.id == share_id)
        with writing(self._engine) as connection:
            if not connection.execute(_shares.delete().where(own)).rowcount:
                raise ShareNotFoundError(f"job {job_id!r} has no share {share_id!r}: it may have been revoked already")

    def forget_expired(self, *, now: float) -> None:
        """Delete the shares that have expired, of all jobs."""
        with writing(self._engine) as connection:
            connection.execute(_shares.delete().where(_shares.c.expires_at <= now))


def _live(job_id: str, now: float) -> tuple[sa.ColumnElement[bool], ...]:
    return _shares.c.job == job_id, _shares.c.expires_at > now


def _share(row: sa.RowMapping) -> Share:
    return Share(**{field.name: row[field.name] for field in fields(Share)})
