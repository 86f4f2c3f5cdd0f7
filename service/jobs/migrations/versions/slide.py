"""A job's slide gets a column: who reads a file is asked before it is deleted, and was looked for within the JSON."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add the column, and fill it from what each job says."""
    op.add_column("mitoscan_jobs", sa.Column("slide", sa.Text))
    jobs = sa.table("mitoscan_jobs", sa.column("id"), sa.column("request"), sa.column("slide"))
    connection = op.get_bind()
    for job_id, request in connection.execute(sa.select(jobs.c.id, jobs.c.request)).all():
        slide = json.loads(request)["slide"]
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(slide=slide))
    op.create_index("ix_mitoscan_jobs_slide", "mitoscan_jobs", ["slide"])
