"""Migrating: brings the store's tables to this version's schema, at every start of a process that uses them."""

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

#: Advisory lock on Postgres: any number of its own.
MIGRATION_TURN = 7061461
VERSION_TABLE = "mitoscan_schema"

#: A store that is away when a process starts may be starting too, as where one command starts all containers.
START_PATIENCE = 30.0  # seconds
PAUSE = 1.0  # seconds

_log = logging.getLogger(__name__)


def open_store(url: str) -> sa.Engine:
    """The engine of the store, with its tables and the queue's made, or brought to this version.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of an SQLite file or a Postgres.

    Raises
    ------
    StoreUnavailableError
        The store is away, also after START_PATIENCE, or is none; says which and why.
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
    # Before the queue's, which would wait for its store without end.
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
    """Run the steps that are missing, all or none; of processes that start at once, one does it.

    A store that a newer version has migrated stays as it is: its columns are ours and more, and rows that cannot be
    read are told from the others.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with writing(engine, turn=MIGRATION_TURN) as connection:
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
