"""Heartbeats of workers, by the clock of the database: clocks of hosts may differ by more than a heartbeat."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from service.jobs.database import metadata, now_of, reading, writing

_workers = sa.Table(
    "mitoscan_workers",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("device", sa.String(64), nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),  # 0 once it has stopped on purpose.
)


@dataclass(frozen=True)
class WorkerRow:
    """A worker as it last reported."""

    id: str
    host: str
    device: str
    started_at: float
    #: Seconds since its last heartbeat; since 1970 if it has stopped on purpose.
    silent_s: float = 0.0


class Presence:
    """The table of workers."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def record_heartbeat(self, worker: WorkerRow, *, is_last: bool = False) -> None:
        """Record that a worker is alive, or, with `is_last`, that it stops on purpose."""
        seen_at = sa.literal(0.0) if is_last else now_of(self._engine)
        values = {"host": worker.host, "device": worker.device, "started_at": worker.started_at, "seen_at": seen_at}
        with writing(self._engine) as connection:
            changed = connection.execute(_workers.update().where(_workers.c.id == worker.id).values(values))
            if changed.rowcount == 0:
                connection.execute(_workers.insert().values(id=worker.id, **values))

    def list_workers(self) -> list[WorkerRow]:
        """All workers that have not been removed."""
        columns = (_workers.c.id, _workers.c.host, _workers.c.device, _workers.c.started_at)
        silent_s = (now_of(self._engine) - _workers.c.seen_at).label("silent_s")
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(*columns, silent_s).order_by(_workers.c.started_at)).mappings()
            return [WorkerRow(**row) for row in rows]

    def remove_worker(self, worker_id: str, *, silent_s: float) -> None:
        """Delete the row of a worker without a heartbeat for `silent_s`."""
        where = (_workers.c.id == worker_id) & (_workers.c.seen_at < now_of(self._engine) - silent_s)
        with writing(self._engine) as connection:
            connection.execute(_workers.delete().where(where))
