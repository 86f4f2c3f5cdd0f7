"""The parts of the service that submitting and deleting jobs need."""

from __future__ import annotations

from dataclasses import dataclass

from service.jobs.catalog import Catalog
from service.jobs.dbos_queue import QueueClient
from service.jobs.store import Store
from service.jobs.waiting import JobWaiter
from service.results.results import Results
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
