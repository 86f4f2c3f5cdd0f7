"""The same batch on many hosts: one actor per GPU, which loads the model once and takes slide after slide.

Ray carries calls and says which of them were lost; which slide comes next, and which is tried again, is decided here.
A slide whose host is gone goes on from its own checkpoint on another one, where both see the folder of the results.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from scanner.batch import (
    BatchOrder,
    Outcome,
    Status,
    Watcher,
    begin_batch,
    begin_job,
    finish_job,
    write_batch,
)
from scanner.errors import ClusterError
from scanner.map_store import wait_for_release
from scanner.worklist import Job

#: A Ray of this machine alone, for the time of the batch.
LOCAL = "local"
#: A slide that has taken its host down so often is given up.
MAX_LOSSES = 3
#: Time for which a slide's folder may still be held by what is left of a lost host, s.
RELEASE_SECONDS = 60.0
#: Time in which the head of a cluster must answer, s.
CONNECT_SECONDS = 10.0
logger = logging.getLogger(__name__)


def scan_cluster(
    jobs: Sequence[Job], order: BatchOrder, out: Path, *, address: str, watcher: Watcher | None = None
) -> list[Outcome]:
    """Scan every slide on a Ray cluster: the same files as `scan_batch` writes.

    Parameters
    ----------
    jobs : sequence of Job
    order : BatchOrder
    out : Path
        Folder of the batch, which every host sees under the same path, as it does the slides.
    address : str
        Of the cluster, or "local" for this machine alone.
    watcher : Watcher, optional
        Hears of starts and outcomes; progress within a slide stays on its host.

    Returns
    -------
    list of Outcome
        In the order of `jobs`.

    Raises
    ------
    ClusterError
        Ray is not installed, or there is no cluster at that address.
    """
    begin_batch(out, order.keywords)
    with _connected(address) as ray:
        batch = _ClusterBatch(ray, jobs, order, out, watcher or Watcher())
        return batch.run()


class _Scanner:
    """Runs on one GPU, or on one share of the processors, of one host."""

    def __init__(self, order: BatchOrder) -> None:
        self._order = order

    def is_ready(self) -> bool:
        """Return once the model is here."""
        return True

    def scan(self, job: Job, out: Path, *, was_lost: bool) -> Outcome:
        """Scan one slide, as `scan_batch` does."""
        if was_lost:
            wait_for_release(job.folder, seconds=RELEASE_SECONDS)
        return finish_job(job, self._order, out, begin=lambda: begin_job(job, self._order))


class _ClusterBatch:
    """One batch: which slides wait, which are in whose hands, how the others ended."""

    def __init__(self, ray: ModuleType, jobs: Sequence[Job], order: BatchOrder, out: Path, watcher: Watcher) -> None:
        self._ray = ray
        self._jobs, self._out, self._watcher = jobs, out, watcher
        keywords: Any = {key: _absolute(value) for key, value in order.keywords.items()}
        self._order = ray.put(replace(order, keywords=keywords))
        self._waiting = deque(range(len(jobs)))
        self._outcomes: dict[int, Outcome] = {}
        self._losses = [0] * len(jobs)
        #: Pending calls: the actor of each, and its slide; None while the actor starts.
        self._calls: dict[Any, tuple[Any, int | None]] = {}
        #: Actors that have nothing to do, unless a slide comes back from a lost host.
        self._idle: list[Any] = []

    def run(self) -> list[Outcome]:
        """Scan until no slide waits."""
        make_actor, count = self._actor_maker()
        for _ in range(min(count, len(self._jobs))):
            self._start_actor(make_actor)
        while len(self._outcomes) < len(self._jobs):
            (call, *_), _ = self._ray.wait(list(self._calls), num_returns=1)
            actor, index = self._calls.pop(call)
            try:
                answer = self._ray.get(call)
            except self._ray.exceptions.RayActorError as error:
                self._lose(index, str(error).splitlines()[0])
                # It starts when there is room for it: at once if only a process died, never if its host is gone for
                # good, and that keeps nobody waiting.
                self._start_actor(make_actor)
                continue
            if index is not None:
                self._end(index, answer)
            self._give_work(actor)
        return [self._outcomes[index] for index in range(len(self._jobs))]

    def _actor_maker(self) -> tuple[Callable[[], Any], int]:
        """What makes an actor, and how many the cluster has room for: one per GPU, or else one per processor."""
        resources = self._ray.cluster_resources()
        kind = "GPU" if resources.get("GPU", 0) >= 1 else "CPU"
        share = {"num_gpus": 1, "num_cpus": 1} if kind == "GPU" else {"num_cpus": 1}
        remote = self._ray.remote(max_restarts=0, **share)(_Scanner)
        return (lambda: remote.remote(self._order)), max(1, int(resources.get(kind, 1)))

    def _start_actor(self, make_actor: Callable[[], Any]) -> None:
        actor = make_actor()
        self._calls[actor.is_ready.remote()] = actor, None

    def _give_work(self, actor: Any) -> None:
        if not self._waiting:
            self._idle.append(actor)
            return
        index = self._waiting.popleft()
        job = self._jobs[index]
        self._watcher.on_start(job)
        # Its host has another working directory.
        there = Job(**{key: _absolute(value) for key, value in vars(job).items()})
        call = actor.scan.remote(there, self._out.absolute(), was_lost=self._losses[index] > 0)
        self._calls[call] = actor, index

    def _lose(self, index: int | None, reason: str) -> None:
        """A host is gone, with the slide in its hands: another one goes on with it."""
        if index is None:
            return
        self._losses[index] += 1
        logger.warning("%s: its host was lost (%s)", self._jobs[index].slide, reason)
        if self._losses[index] < MAX_LOSSES:
            self._waiting.appendleft(index)
            if self._idle:
                self._give_work(self._idle.pop())
            return
        folder = os.path.relpath(self._jobs[index].folder, self._out)
        self._end(index, Outcome("", Status.FAILED, f"its host was lost {MAX_LOSSES} times: {reason}", folder))

    def _end(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome = replace(outcome, slide=str(self._jobs[index].slide))
        ended = [self._outcomes[place] for place in sorted(self._outcomes)]
        write_batch(self._out, ended, total=len(self._jobs))
        self._watcher.on_outcome(outcome)


def _check_reachable(address: str) -> None:
    """Raise ClusterError if nobody answers at host:port: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {address!r}: {error}") from error


def _absolute(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value


@contextmanager
def _connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected to a cluster, or with one of its own on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError("--cluster needs Ray: pip install 'mitoscan[cluster]'") from error
    _check_reachable(address)
    where: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {"address": address}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own, which gives another exit code.
    try:
        yield ray
    finally:
        ray.shutdown()
