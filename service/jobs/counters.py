"""Counters: totals and gauges that workers write to the job database, for the metrics of every API process."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from service.jobs.database import metadata, reading, writing

_counters = sa.Table(
    "mitoscan_measures",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("label", sa.String(160), primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

#: Totals, which only grow: label is a stage, a state, a reason, or empty.
STAGE_SECONDS = "stage_seconds"
SCANNED_MM2 = "scanned_mm2"
JOBS_ENDED = "jobs_ended"
FAILURES = "failures"
#: Gauges: label is the worker.
GPU_USED_BYTES = "gpu_used_bytes"
GPU_TOTAL_BYTES = "gpu_total_bytes"


class Counters:
    """Numbers by name and label."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, name: str, amounts: Mapping[str, float]) -> None:
        """Add to totals: label -> amount."""
        for label, amount in amounts.items():
            self._write(name, label, _counters.c.value + amount, amount)

    def put(self, name: str, label: str, value: float) -> None:
        """Set a gauge."""
        self._write(name, label, sa.literal(value), value)

    def read(self) -> dict[str, dict[str, float]]:
        """All numbers: name -> label -> value."""
        found: dict[str, dict[str, float]] = {}
        with reading(self._engine) as connection:
            for name, label, value in connection.execute(sa.select(_counters)):
                found.setdefault(name, {})[label] = value
        return found

    def forget(self, name: str, label: str) -> None:
        """Remove a number, such as that of a worker that no longer exists."""
        with writing(self._engine) as connection:
            connection.execute(_counters.delete().where(_place(name, label)))

    def _write(self, name: str, label: str, changed: sa.ColumnElement[float], first: float) -> None:
        change = _counters.update().where(_place(name, label)).values(value=changed)
        for _ in range(2):  # If two workers insert the row at once, the second one then updates it.
            try:
                with writing(self._engine) as connection:
                    if connection.execute(change).rowcount == 0:
                        connection.execute(_counters.insert().values(name=name, label=label, value=first))
            except sa.exc.IntegrityError:
                continue
            else:
                return


def _place(name: str, label: str) -> sa.ColumnElement[bool]:
    return (_counters.c.name == name) & (_counters.c.label == label)
