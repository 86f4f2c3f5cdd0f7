"""Reporter: writes a worker's counters to the database, for the metrics of every API process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress

from service.jobs import counters
from service.jobs.counters import Counters
from service.jobs.database import StoreUnavailableError
from service.jobs.lifecycle import Job, JobState


class Reporter:
    """Counts the jobs that one worker has ended, and reports the memory of its GPU."""

    def __init__(self, counts: Counters, worker_id: str) -> None:
        self._counters = counts
        self._worker_id = worker_id

    def scanned(self, mm2: float, stage_seconds: Mapping[str, float]) -> None:
        """Count a completed scan."""
        with _ignoring_store_away():
            self._counters.add(counters.SCANNED_MM2, {"": mm2})
            self._counters.add(counters.STAGE_SECONDS, stage_seconds)

    def ended(self, job: Job) -> None:
        """Count a job that this worker has ended."""
        with _ignoring_store_away():
            self._counters.add(counters.JOBS_ENDED, {job.state.lower(): 1})
            if job.state is JobState.FAILED and job.problem:
                self._counters.add(counters.FAILURES, {str(job.problem["type"]): 1})

    def report_memory(self) -> None:
        """Report the memory of the GPU, if this process uses one."""
        memory = _gpu_memory()
        if memory is not None:
            self._counters.put(counters.GPU_USED_BYTES, self._worker_id, memory[1] - memory[0])
            self._counters.put(counters.GPU_TOTAL_BYTES, self._worker_id, memory[1])

    def forget(self, worker_id: str) -> None:
        """Remove the gauges of a worker that no longer exists."""
        for name in (counters.GPU_USED_BYTES, counters.GPU_TOTAL_BYTES):
            self._counters.forget(name, worker_id)


def _ignoring_store_away() -> AbstractContextManager[None]:
    """Skip the counting while the database is away: no job may fail because of it."""
    return suppress(StoreUnavailableError)


def _gpu_memory() -> tuple[int, int] | None:
    """Free and total bytes of the GPU; None if no scan has used one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    return int(free), int(total)
