"""A store of an older version becomes one of this version without loss, on SQLite and on Postgres."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from service.jobs import lifecycle
from service.jobs.counters import Counters
from service.jobs.database import make_engine, metadata, reading, writing
from service.jobs.job_rows import row_from_job
from service.jobs.lifecycle import Fetch, JobOptions, JobProgress, Priority
from service.jobs.migrating import VERSION_TABLE, migrate_store
from service.jobs.presence import Presence
from service.jobs.store import Store
from service.settings import Settings
from tests.service.fields import make_field, png
from tests.service.jobs.test_store import job
from tests.service.own_postgres import run_postgres
from tests.service.server_process import Server

#: What `sqlite3` dumps of a store that the last version without migrations has made, with BEFORE in it.
DUMP = Path(__file__).parent / "stores" / "before_migrations.sql"
BEFORE = {
    "waiting": job("waiting", created_at=1.0, key="k"),
    "fetching": replace(
        job("fetching", created_at=2.0),
        fetch=Fetch("s3://slides/a.tif", 5, 9),
        options=JobOptions(Priority.HIGH, 60.0, "https://x.example/hook"),
    ),
    "failed": replace(
        lifecycle.fail(job("failed", created_at=3.0), problem={"type": "urn:mitoscan:x", "status": 422}, now=4.0),
        version=1,
    ),
    "running": replace(
        lifecycle.advance(
            lifecycle.start(job("running", created_at=5.0), worker="w", now=6.0), JobProgress(1, 2, 0.25, 0.5)
        ),
        version=2,
    ),
}


def load_dump(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())


@pytest.fixture(params=["sqlite", "postgres"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """A store of before the first migration, with BEFORE in it."""
    (tmp_path / "postgres").mkdir()
    with run_postgres(tmp_path / "postgres", wanted=request.param == "postgres") as environment:
        own = Settings(data=tmp_path, database_url=environment.get("MITOSCAN_DATABASE_URL"))
        if request.param == "sqlite":
            load_dump(tmp_path / "store.sqlite")
        engine = make_engine(own.store_url)
        if request.param == "postgres":
            migrate_store(engine, revision="1")
            table = sa.Table("mitoscan_jobs", sa.MetaData(), autoload_with=engine)
            with writing(engine) as connection:
                for known in BEFORE.values():
                    row = row_from_job(known, table.columns.keys())
                    connection.execute(
                        table.insert().values({name: row[name] for name in row if name in table.columns})
                    )
                connection.execute(sa.text(f"DROP TABLE {VERSION_TABLE}"))
            Counters(engine).put("gpu", "w", 1.0)
        yield engine
        engine.dispose()


def test_a_store_of_before_is_brought_here_without_loss(older: sa.Engine) -> None:
    with ThreadPoolExecutor(4) as pool:  # As many processes that start at once.
        list(pool.map(lambda _: migrate_store(older), range(4)))
    store = Store(older)
    assert {found.id: found for found in store.list_jobs()} == BEFORE
    assert [found.id for found in store.list_reading("uploads/running")] == ["running"]
    assert Counters(older).read() == {"gpu": {"w": 1.0}}
    assert Presence(older).list_workers() == []
    with reading(older) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = [found for found in compare_metadata(context, metadata) if "mitoscan" in str(found)]
    assert differences == []


def test_a_store_of_a_newer_version_is_left_as_it_is(older: sa.Engine, caplog: pytest.LogCaptureFixture) -> None:
    migrate_store(older)
    with writing(older) as connection:
        connection.execute(sa.text("ALTER TABLE mitoscan_jobs ADD COLUMN colour TEXT"))
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '999'"))
    migrate_store(older)
    assert "schema 999 is newer" in caplog.text
    assert {found.id: found for found in Store(older).list_jobs()} == BEFORE


def test_a_job_that_was_asked_of_an_older_version_is_run_by_this_one(tmp_path: Path, models_folder: Path) -> None:
    with Server(tmp_path, models_folder, MITOSCAN_WORKERS="0").start(wait_for_worker=False) as server:
        waiting: str = server.submit(png(make_field(5)))
        server.stop()
        make_older(tmp_path / "data" / "store.sqlite")
        server.environment["MITOSCAN_WORKERS"] = "1"
        server.start()
        assert server.wait(waiting)["status"] == "SUCCEEDED"


def make_older(path: Path) -> None:
    """Undo what migrations have done to a store."""
    with closing(sqlite3.connect(path)) as connection:
        for table in (VERSION_TABLE, "mitoscan_marks", "mitoscan_reviews", "mitoscan_shares"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP INDEX ix_mitoscan_jobs_slide")
        for column in ("slide", "name_key", "case_key", "count", "counted_mm2"):
            connection.execute(f"ALTER TABLE mitoscan_jobs DROP COLUMN {column}")
