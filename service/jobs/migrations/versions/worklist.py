"""Columns by which jobs are searched and sorted: names, what their results count, and how far their reviews are."""

from __future__ import annotations

import json
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Add the columns, and fill those of names. A review's are filled by the service, which knows how marks count."""
    for name, kind in (("name_key", sa.Text), ("case_key", sa.Text), ("count", sa.Integer), ("counted_mm2", sa.Double)):
        op.add_column("mitoscan_jobs", sa.Column(name, kind))
    for name in ("verdicts", "open", "reviewed"):
        op.add_column("mitoscan_reviews", sa.Column(name, sa.Integer))
    jobs = sa.table("mitoscan_jobs", *map(sa.column, ("id", "request", "name_key", "case_key")))
    connection = op.get_bind()
    for job_id, request in connection.execute(sa.select(jobs.c.id, jobs.c.request)).all():
        said = json.loads(request)
        name, case = said.get("slide_name", ""), said.get("options", {}).get("case", "")
        keys = {"name_key": _fold(name), "case_key": _fold(case)}
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(keys))


def _fold(text: str) -> str:
    """As the store wrote it when this step was made."""
    storable = text.encode("utf-8", "replace").decode().replace("\0", "")
    return unicodedata.normalize("NFC", storable).casefold()
