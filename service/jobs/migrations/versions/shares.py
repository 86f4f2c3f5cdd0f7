"""A table for links by which people without a key see a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "mitoscan_shares",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("job", sa.String(64), sa.ForeignKey("mitoscan_jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_index("ix_mitoscan_shares_job", "mitoscan_shares", ["job"])
    op.create_index("ix_mitoscan_shares_expires_at", "mitoscan_shares", ["expires_at"])
