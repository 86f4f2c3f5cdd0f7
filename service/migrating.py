"""Migrating: brings the store's tables to this version's schema, at every start of a process that uses them."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.database import writing

#: Advisory lock on Postgres: any number of its own.
MIGRATION_TURN = 7061461
VERSION_TABLE = "mitoscan_schema"

_log = logging.getLogger(__name__)


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
            _log.warning("the store's schema %s is newer than this version of mitoscan knows", current)
            return
        config.attributes.update(connection=connection, table=VERSION_TABLE)
        command.upgrade(config, revision)
