"""Store: the table of jobs, in SQLite or PostgreSQL, beside the tables of DBOS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol, TypeVar

import sqlalchemy as sa

from service.jobs.database import StoreUnavailableError, reading, writing
from service.jobs.job_rows import UnreadableJob, job_from_row, jobs, read_row, row_from_job
from service.jobs.lifecycle import Job, JobState
from service.problems import ReportedError

#: Advisory lock on PostgreSQL: any unique number.
INSERT_LOCK = 7061462
#: A worker tries again after this long while the database is away.
AWAY_INTERVAL = 1.0  # seconds
#: Most jobs of one slide that are listed.
MOST_SIBLINGS = 200

T = TypeVar("T")


class JobNotFoundError(ReportedError, LookupError):
    """No job has this id, or it belongs to another group."""

    problem_type = "job-not-found"


class DuplicateJobError(Exception):
    """The group has used this idempotency key already."""


class OnEnd(Protocol):
    """Called with a job that has ended, within the transaction that ends it."""

    def __call__(self, connection: sa.Connection, job: Job) -> object:
        """The job has ended."""


class Store:
    """Reads and writes jobs."""

    def __init__(self, engine: sa.Engine, on_end: OnEnd | None = None, *, is_patient: bool = False) -> None:
        self.engine = engine
        self._on_end = on_end
        #: True in a worker, which waits for a database that is away; a request is answered 503 instead.
        self._is_patient = is_patient

    def insert(
        self,
        job: Job,
        *,
        enqueue: Callable[[sa.Connection], object],
        admit: Callable[[sa.Connection], object] = lambda _connection: None,
    ) -> None:
        """Write a new job and enqueue it in one transaction; one job at a time.

        `admit` may raise before anything is written: no other job is inserted between its reading and this job.
        """
        try:
            with writing(self.engine, lock=INSERT_LOCK) as connection:
                admit(connection)
                connection.execute(jobs.insert().values(row_from_job(job, jobs.columns.keys())))
                enqueue(connection)
                self._notify_end(connection, job)
        except sa.exc.IntegrityError as error:
            raise DuplicateJobError(job.idempotency_key) from error

    def get(self, job_id: str) -> Job:
        """The job of that id."""
        return self._retry_while_away(lambda: self._get(job_id))

    def _get(self, job_id: str) -> Job:
        with reading(self.engine) as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise JobNotFoundError(f"no job {job_id!r}")
        return job_from_row(row)

    def versions(self, job_ids: Iterable[str]) -> dict[str, int]:
        """Number of changes of each of those jobs."""
        query = sa.select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_(list(job_ids)))
        with reading(self.engine) as connection:
            return {row.id: row.version for row in connection.execute(query)}

    def find_by_idempotency_key(self, client: str, key: str) -> Job | None:
        """The job that this group submitted with this key."""
        query = sa.select(jobs).where(jobs.c.client == client, jobs.c.idempotency_key == key)
        with reading(self.engine) as connection:
            row = connection.execute(query).mappings().first()
        return job_from_row(row) if row else None

    def update(
        self,
        job_id: str,
        transition: Callable[[Job], Job],
        *,
        then: Callable[[sa.Connection, Job], object] | None = None,
    ) -> Job:
        """Apply a transition to the current job, and do `then` in the same transaction.

        TransitionError if the job's state forbids it.
        """
        while True:
            changed = self._retry_while_away(lambda: self._try_update(job_id, transition, then))
            if changed is not None:
                return changed

    def _try_update(
        self,
        job_id: str,
        transition: Callable[[Job], Job],
        then: Callable[[sa.Connection, Job], object] | None,
    ) -> Job | None:
        """The changed job; None if another process has changed it meanwhile."""
        job = self._get(job_id)
        changed = transition(job)
        if changed is job:
            return job
        values = row_from_job(changed, jobs.columns.keys()) | {"version": job.version + 1}
        where = (jobs.c.id == job_id) & (jobs.c.version == job.version)
        with writing(self.engine) as connection:
            if connection.execute(jobs.update().where(where).values(values)).rowcount != 1:
                return None
            if not job.state.is_final:  # What happens to a job after its end is not another end.
                self._notify_end(connection, changed)
            if then:
                then(connection, changed)
        return replace(changed, version=job.version + 1)

    def _retry_while_away(self, call: Callable[[], T]) -> T:
        """The result of `call`; a worker's store repeats it until the database answers."""
        while True:
            try:
                return call()
            except StoreUnavailableError:
                if not self._is_patient:
                    raise
                time.sleep(AWAY_INTERVAL)

    def _notify_end(self, connection: sa.Connection, job: Job) -> None:
        if self._on_end and job.state.is_final:
            self._on_end(connection, job)

    def list_jobs(
        self, *, client: str | None = None, state: JobState | None = None, before: float | None = None, limit: int = 100
    ) -> list[Job]:
        """Jobs that this version can read, newest first."""
        rows = self.list_rows(client=client, state=state, before=before, limit=limit)
        return [row for row in rows if isinstance(row, Job)]

    def list_rows(
        self, *, client: str | None = None, state: JobState | None = None, before: float | None = None, limit: int = 100
    ) -> list[Job | UnreadableJob]:
        """Jobs, newest first, including those that this version cannot read."""
        query = sa.select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        if client is not None:
            query = query.where(jobs.c.client == client)
        if state is not None:
            query = query.where(jobs.c.state == state)
        if before is not None:
            query = query.where(jobs.c.created_at < before)
        with reading(self.engine) as connection:
            return [read_row(row) for row in connection.execute(query).mappings()]

    def list_reading(self, folder: str) -> list[Job]:
        """Jobs whose slide lies in that folder, relative to the data folder."""
        query = sa.select(jobs).where(jobs.c.slide.startswith(f"{folder}/", autoescape=True))
        with reading(self.engine) as connection:
            return [job_from_row(row) for row in connection.execute(query).mappings()]

    def list_siblings(self, job: Job) -> list[Job]:
        """Other jobs of the same group and of the same image, by its bytes, newest first."""
        request = job.request
        if not request.slide:  # Not fetched yet.
            return []
        where = (jobs.c.slide == request.slide, jobs.c.client == job.client, jobs.c.id != job.id)
        query = sa.select(jobs).where(*where).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(MOST_SIBLINGS)
        with reading(self.engine) as connection:
            rows = [read_row(row) for row in connection.execute(query).mappings()]
        image = (request.slide_sha256, request.image)
        return [row for row in rows if isinstance(row, Job) and (row.request.slide_sha256, row.request.image) == image]

    def has_result_key(self, key: str, *, of: str | None = None) -> bool:
        """True if any job has this result; with `of`, if one of that group has succeeded with it."""
        query = sa.select(jobs.c.id).where(jobs.c.result_key == key).limit(1)
        if of is not None:
            query = query.where(jobs.c.client == of, jobs.c.state == JobState.SUCCEEDED)
        with reading(self.engine) as connection:
            return connection.execute(query).first() is not None

    def count_open(self, client: str | None = None, *, connection: sa.Connection | None = None) -> int:
        """Number of waiting and running jobs; with a `connection`, as its transaction sees them."""
        query = sa.select(sa.func.count()).where(jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
        if client is not None:
            query = query.where(jobs.c.client == client)
        with nullcontext(connection) if connection is not None else reading(self.engine) as within:
            return int(within.execute(query).scalar_one())

    def newest_created_at(self) -> float | None:
        """When the newest job was submitted."""
        with reading(self.engine) as connection:
            found: float | None = connection.execute(sa.select(sa.func.max(jobs.c.created_at))).scalar_one()
        return found

    def oldest_waiting_since(self) -> float | None:
        """When the oldest waiting job was submitted."""
        query = sa.select(sa.func.min(jobs.c.created_at)).where(jobs.c.state == JobState.QUEUED)
        with reading(self.engine) as connection:
            found: float | None = connection.execute(query).scalar_one()
        return found

    def count_by_state(self) -> dict[str, int]:
        """Jobs in each state."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        with reading(self.engine) as connection:
            counts = {state: int(count) for state, count in connection.execute(query)}
        return {str(state): counts.get(str(state), 0) for state in JobState}

    def delete(self, job_id: str) -> None:
        """Delete a job."""
        with writing(self.engine) as connection:
            connection.execute(jobs.delete().where(jobs.c.id == job_id))
