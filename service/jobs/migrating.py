"""Migrations: bring the database to this version's schema, whenever a process that uses it starts."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.jobs import dbos_queue
from service.jobs.database import StoreUnavailableError, make_engine, writing

#: Advisory lock on PostgreSQL: any unique number.
MIGRATION_LOCK = 7061461
VERSION_TABLE = "mitoscan_schema"

#: A database that is unreachable when a process starts may be starting too, as under `docker compose up`.
START_PATIENCE = 30.0  # seconds
PAUSE = 1.0  # seconds

_log = logging.getLogger(__name__)


def open_store(url: str) -> sa.Engine:
    """An engine for the job database; creates its tables and those of the queue, or migrates them.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of an SQLite file or a Postgres.

    Raises
    ------
    StoreUnavailableError
        The database cannot be opened, even after START_PATIENCE; the message says which one and why.
    """
    until = time.monotonic() + START_PATIENCE
    while True:
        try:
            return _open_store(url)
        except StoreUnavailableError as error:
            if time.monotonic() > until:
                raise StoreUnavailableError(_describe(url, error)) from error
            time.sleep(PAUSE)
        except sa.exc.SQLAlchemyError as error:
            raise StoreUnavailableError(_describe(url, error)) from error


def _open_store(url: str) -> sa.Engine:
    engine = make_engine(url)
    # First, because DBOS would wait for a missing database forever.
    migrate_store(engine)
    dbos_queue.migrate(url)
    return engine


def _describe(url: str, error: Exception) -> str:
    cause = error.__cause__ or error
    reason = str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
    try:
        name = sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        name = "MITOSCAN_DATABASE_URL"
    return f"the job database {name} cannot be opened: {reason}"


def migrate_store(engine: sa.Engine, *, revision: str = "head") -> None:
    """Run the missing migrations in one transaction; of processes that start together, one does it.

    A database with a newer schema stays as it is: it has all columns of this version, and rows that cannot be read are
    recognised.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with writing(engine, lock=MIGRATION_LOCK) as connection:
        current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            _log.warning(
                "the database schema %s is newer than this version of mitoscan; its tables are left as they are",
                current,
            )
            return
        config.attributes.update(connection=connection, table=VERSION_TABLE)
        command.upgrade(config, revision)
