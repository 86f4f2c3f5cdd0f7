"""The database: its engine and transactions, and one error for every way in which it can be unavailable."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from service.problems import ReportedError

#: Timeout of a lock, of a free connection, and of opening a connection.
PATIENCE = 5.0  # seconds
#: Connections kept open, and how many more there may be: with SQLite enough for every thread of the API.
CONNECTIONS, MORE_ON_SQLITE, MORE_ON_POSTGRES = 10, 40, 20
#: TCP keepalives: they end a connection to a host that has vanished.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
#: Postgres ends a transaction whose process does nothing in it for so long: one that was paused, with its locks held,
#: would keep every other worker from taking its jobs over.
ABANDONED_S = 30.0

#: The tables of mitoscan; DBOS has its own.
metadata = sa.MetaData()

_log = logging.getLogger(__name__)


class StoreUnavailableError(ReportedError):
    """The database is unreachable or locked, or all connections are in use: a later attempt may succeed."""

    problem_type = "store-unavailable"


def make_engine(url: str, *, patience: float = PATIENCE, connections: int | None = None) -> sa.Engine:
    """An engine for our tables and those of DBOS. With SQLite, writers take turns, and readers never wait for them.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of an SQLite file or a Postgres.
    patience : float
        Seconds to wait for a lock, a free connection or a new one.
    connections : int, optional
        Most connections, all kept open; by default as many as a whole process needs.
    """
    is_sqlite = url.startswith("sqlite")
    more = MORE_ON_SQLITE if is_sqlite else MORE_ON_POSTGRES
    pool: dict[str, Any] = {
        "pool_size": connections or CONNECTIONS,
        "max_overflow": 0 if connections else more,
        "pool_timeout": patience,
    }
    if not is_sqlite:
        # libpq takes whole seconds, and at least 2.
        abandoned = f"-c idle_in_transaction_session_timeout={round(ABANDONED_S * 1000)}"
        arguments = KEEPALIVES | {"connect_timeout": max(2, round(patience)), "options": abandoned}
        return sa.create_engine(url, pool_pre_ping=True, connect_args=arguments, **pool)
    engine = sa.create_engine(url, connect_args={"check_same_thread": False}, **pool)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"  # As in DBOS's own engine: two writers queue instead of deadlocking.
        connection.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def now_of(engine: sa.Engine) -> sa.ColumnElement[float]:
    """The clock of the database, in seconds since 1970."""
    if engine.dialect.name == "postgresql":
        return sa.literal_column("extract(epoch from clock_timestamp())", sa.Double)
    return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double)


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read with.

    Raises
    ------
    StoreUnavailableError
        The database is away or locked, or no connection is free.
    """
    with _translated(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: sa.Engine, *, lock: int | None = None) -> Iterator[sa.Connection]:
    """A transaction; with a `lock`, one at a time of those with the same number, from its first statement on.

    Raises
    ------
    StoreUnavailableError
        The database is away or locked, or no connection is free.
    """
    with _translated(), engine.begin() as connection:
        if lock is not None:
            _take_lock(connection, lock)
        yield connection


def _take_lock(connection: sa.Connection, lock: int) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SET LOCAL lock_timeout = {round(PATIENCE * 1000)}"))
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({lock})"))
    else:  # SQLite would take the write lock only at the first change.
        connection.execute(sa.text("BEGIN IMMEDIATE"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sa.exc.TimeoutError, sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        _log.warning("the job database is unavailable: %s", getattr(error, "orig", None) or error)
        raise StoreUnavailableError("the job database cannot be reached or is busy: try again later") from error
