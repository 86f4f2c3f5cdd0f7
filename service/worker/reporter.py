"""Reporter: what a worker says of itself to the store, for the metrics of every API process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress

from service.jobs import counters
from service.jobs.counters import Measures
from service.jobs.database import StoreUnavailableError
from service.jobs.lifecycle import Job, JobState


class Reporter:
    """Counts what one worker has ended, and says how much memory its GPU has left."""

    def __init__(self, measures_: Measures, worker_id: str) -> None:
        self._measures = measures_
        self._worker_id = worker_id

    def scanned(self, mm2: float, stage_seconds: Mapping[str, float]) -> None:
        """Count a scan that has run to its end."""
        with _if_there():
            self._measures.add(counters.SCANNED_MM2, {"": mm2})
            self._measures.add(counters.STAGE_SECONDS, stage_seconds)

    def ended(self, job: Job) -> None:
        """Count a job that this worker has ended."""
        with _if_there():
            self._measures.add(counters.JOBS_ENDED, {job.state.lower(): 1})
            if job.state is JobState.FAILED and job.problem:
                self._measures.add(counters.FAILURES, {str(job.problem["type"]): 1})

    def beat(self) -> None:
        """Say how full the GPU is, if this process uses one."""
        memory = _gpu_memory()
        if memory is not None:
            self._measures.put(counters.GPU_USED_BYTES, self._worker_id, memory[1] - memory[0])
            self._measures.put(counters.GPU_TOTAL_BYTES, self._worker_id, memory[1])

    def forget(self, worker_id: str) -> None:
        """Drop what a worker that is gone has said."""
        for name in (counters.GPU_USED_BYTES, counters.GPU_TOTAL_BYTES):
            self._measures.forget(name, worker_id)


def _if_there() -> AbstractContextManager[None]:
    """A count is not worth a job: while the store is away it is left out."""
    return suppress(StoreUnavailableError)


def _gpu_memory() -> tuple[int, int] | None:
    """Free and all bytes of the GPU; None where no scan has used one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    return int(free), int(total)
