"""Limits of memory and time for one job, and the problems of jobs that exceed them."""

from __future__ import annotations

import resource
from pathlib import Path

from scanner.inference.memory import SHARE, installed_memory
from service.jobs.lifecycle import Job
from service.problems import make_problem, problem_from_exception
from service.settings import Settings
from service.settings.rules import MIN_WORKER_MEMORY

#: Index of data and stack, the memory that is limited, among the numbers in /proc/self/statm.
_DATA_FIELD = 5
#: Share of its limit that a worker may hold between two jobs: libraries reserve much of the smallest limit.
MOST_HELD = 0.75


def bound_memory(settings: Settings) -> None:
    """Limit what this process can allocate, so that a decoder that wants more fails, and not the machine.

    The limit is not on address space: CUDA reserves more of that than any machine has memory.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    size = memory_bytes(settings)
    resource.setrlimit(resource.RLIMIT_DATA, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def memory_bytes(settings: Settings) -> int:
    """Bytes that a worker may allocate."""
    share = int(SHARE * installed_memory() / max(1, settings.workers))
    return settings.worker_memory_bytes or max(share, MIN_WORKER_MEMORY)


def has_room(settings: Settings) -> bool:
    """False if this process holds so much memory that too little of its limit is left for the next job."""
    try:
        held_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[_DATA_FIELD])
    except (OSError, ValueError, IndexError):  # Not Linux.
        return True
    return held_pages * resource.getpagesize() < MOST_HELD * memory_bytes(settings)


def timeout_s(job: Job, settings: Settings) -> float:
    """Seconds that a job may take."""
    return min(settings.job_timeout_s, job.options.timeout_s or settings.job_timeout_s)


def problem_of(error: Exception, job: Job, settings: Settings) -> dict[str, object]:
    """The problem of a failed job: the slide's path on the server is replaced by the client's name for it."""
    if isinstance(error, MemoryError):
        limit = f"the {memory_bytes(settings)} bytes that a worker may use (worker_memory_bytes)"
        detail = f"{job.request.slide_name}: the scan needs more memory than {limit}"
        return make_problem("memory-exceeded", detail=detail)
    path = str(settings.data.resolve() / job.request.slide)
    return problem_from_exception(error, detail=str(error).replace(path, job.request.slide_name))


def timeout_problem(job: Job, settings: Settings) -> dict[str, object]:
    """The problem of a job that took too long."""
    detail = f"the scan took longer than {timeout_s(job, settings):g} s"
    return make_problem("scan-timeout", detail=detail)


def crash_problem(job: Job) -> dict[str, object]:
    """The problem of a job whose workers crash."""
    detail = f"{job.attempt} workers have crashed while scanning this slide"
    return make_problem("scan-crashed", detail=detail)
