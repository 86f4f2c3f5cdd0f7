"""Tables for what people say of results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "mitoscan_reviews",
        sa.Column("job", sa.String(64), sa.ForeignKey("mitoscan_jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("result", sa.Text, nullable=False),
    )
    op.create_table(
        "mitoscan_marks",
        sa.Column("job", sa.String(64), sa.ForeignKey("mitoscan_jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("by", sa.String(160), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("x", sa.Double, nullable=False),
        sa.Column("y", sa.Double, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("is_counted", sa.Boolean, nullable=False),
        sa.Column("is_added", sa.Boolean, nullable=False),
    )
