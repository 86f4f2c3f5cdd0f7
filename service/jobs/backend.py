"""The parts of the service that submitting and deleting jobs need."""

from __future__ import annotations

from dataclasses import dataclass

from service.jobs.catalog import Catalog
from service.jobs.dbos_queue import QueueClient
from service.jobs.lifecycle import Job
from service.jobs.store import Store
from service.jobs.waiting import JobWaiter
from service.results.results import Figures, Results
from service.settings import Settings


@dataclass(frozen=True)
class JobBackend:
    """Settings, job database, queue, models and results, and a way to wait for a job."""

    settings: Settings
    store: Store
    queue: QueueClient
    catalog: Catalog
    results: Results
    waiter: JobWaiter

    def own_figures(self, job: Job) -> Figures | None:
        """What the result of `job` counts, if it exists and is its group's already."""
        return own_figures(self.store, self.results, job)


def own_figures(store: Store, results: Results, job: Job) -> Figures | None:
    """What the result of `job` counts, if it exists and an earlier job of the same group has it.

    One that only others have is made again: an answer at once would tell that they have sent the same slide.
    """
    key = job.request.result_key
    return results.figures(key) if store.has_result_key(key, of=job.client) else None
