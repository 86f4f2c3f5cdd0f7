"""What submitting and deleting jobs needs, as one value that they are handed."""

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
    """Where jobs, models and results are kept, and the queue that workers take jobs from."""

    settings: Settings
    store: Store
    queue: QueueClient
    catalog: Catalog
    results: Results
    waiter: JobWaiter
