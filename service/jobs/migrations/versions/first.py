"""The tables as they were before the store had migrations; where they are there already, they stay as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make the tables that are missing."""
    tables = sa.MetaData()
    _describe_jobs(tables)
    _describe_workers(tables)
    tables.create_all(op.get_bind())


def _describe_jobs(tables: sa.MetaData) -> None:
    sa.Table(
        "mitoscan_jobs",
        tables,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("client", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False, index=True),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(128)),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("result_key", sa.String(64), nullable=False, index=True),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("tiles_done", sa.Integer, nullable=False),
        sa.Column("tiles_total", sa.Integer, nullable=False),
        sa.Column("mm2_done", sa.Double, nullable=False),
        sa.Column("mm2_total", sa.Double, nullable=False),
        sa.Column("reason", sa.String(128)),
        sa.Column("problem", sa.Text),
        sa.UniqueConstraint("client", "idempotency_key"),
    )


def _describe_workers(tables: sa.MetaData) -> None:
    sa.Table(
        "mitoscan_workers",
        tables,
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    sa.Table(
        "mitoscan_measures",
        tables,
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("label", sa.String(160), primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
    )
