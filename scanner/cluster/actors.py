"""The Ray actors of a batch, each a ClusterWorker on some host: how they are made, and what they were called for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from scanner.cluster.connection import Starts
from scanner.cluster.dispatch import Task
from scanner.cluster.worker import ClusterWorker
from scanner.errors import ClusterError

#: Time in which the first worker must start on a cluster that has neither processors nor GPUs yet, s.
START_SECONDS = 50.0
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Actor:
    """A ClusterWorker on some host."""

    handle: Any
    #: What it does now; None while it starts or waits.
    task: Task | None = None
    #: The slide that it has open.
    open_slide: int | None = None
    #: Whether a call for its progress is pending.
    is_progress_pending: bool = False


class Actors:
    """All actors of a batch, with their pending calls."""

    def __init__(self, ray: ModuleType, order: Any) -> None:
        self._ray = ray
        self._order = ray.put(order)
        resources = ray.cluster_resources()
        kind = "GPU" if resources.get("GPU", 0) >= 1 else "CPU"
        share = {"num_gpus": 1, "num_cpus": 1} if kind == "GPU" else {"num_cpus": 1}
        # Two calls at once: one works, the other reports its progress.
        self._remote = ray.remote(max_restarts=0, max_concurrency=2, **share)(ClusterWorker)
        #: How many the cluster has room for: one per GPU, or else one per processor.
        self.capacity = max(1, int(resources.get(kind, 1)))
        self.starts = Starts()
        self.idle: list[Actor] = []
        #: Pending calls with the actor that answers: to start or to work; and for progress.
        self.work_calls: dict[Any, Actor] = {}
        self.progress_calls: dict[Any, Actor] = {}

    def start(self, open_tasks: int) -> None:
        """Start actors for tasks that nobody has taken, as far as there is room.

        An actor in place of a lost one starts when there is room for it: at once if only a process died, never if its
        host is gone for good, and that keeps nobody waiting.
        """
        starting = sum(actor.task is None for actor in self.work_calls.values())
        places = 0 if self.starts.are_given_up else self.capacity - len(self.work_calls) - len(self.idle)
        for _ in range(min(places, open_tasks - starting)):
            actor = Actor(self._remote.remote(self._order))
            self.work_calls[actor.handle.refusal.remote()] = actor

    def request_progress(self, actor: Actor) -> None:
        """Have an actor report its progress, unless that is pending."""
        if not actor.is_progress_pending:
            self.progress_calls[actor.handle.progress.remote()] = actor
            actor.is_progress_pending = True

    def wait(self) -> Any:
        """The call that is answered next.

        Raises
        ------
        ClusterError
            None ever will be: no worker can start.
        """
        calls = [*self.work_calls, *self.progress_calls]
        if not calls:
            raise ClusterError(f"workers cannot start on the cluster: {self.starts.cause}")
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=None if self.starts.has_any else START_SECONDS)
        while not ready:  # It may be busy or slow; but without processors no worker will ever start.
            if not {"CPU", "GPU"} & self._ray.cluster_resources().keys():
                raise ClusterError(f"no worker has started within {START_SECONDS:g} s: the cluster has no processors")
            logger.warning("no worker has started within %g s: is the cluster busy?", START_SECONDS)
            ready, _ = self._ray.wait(calls, num_returns=1, timeout=None)
        return ready[0]
