"""A Ray whose hosts die when the test says so: what scan_cluster uses of it, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from scanner.batch import Outcome, Status
from scanner.worklist import Job


class RayActorError(Exception):
    """The host of an actor is gone."""


@dataclass(eq=False)
class Call:
    """A call of an actor, which may never be answered."""

    actor: int
    job: Job | None = None
    was_lost: bool = False


@dataclass
class FakeRay:
    """Stands in for the module `ray`, with one processor for each of its hosts."""

    hosts: int
    #: Names of slides, in the order in which they end; a name that starts with "!" ends by the loss of its host.
    endings: list[str]
    #: Every scan that was begun: slide, actor, whether it was lost before.
    begun: list[tuple[str, int, bool]] = field(default_factory=list)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(RayActorError=RayActorError))
    actors: int = 0

    def init(self, **_options: Any) -> None: ...

    def shutdown(self) -> None: ...

    def put(self, value: Any) -> Any:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.hosts)}

    def remote(self, **_options: Any) -> Callable[[type], Any]:
        return lambda _kind: SimpleNamespace(remote=self._make_actor)

    def _make_actor(self, _order: Any) -> Any:
        number, self.actors = self.actors, self.actors + 1

        def scan(job: Job, _out: Any, *, was_lost: bool) -> Call:
            self.begun.append((job.slide.name, number, was_lost))
            return Call(number, job, was_lost)

        return SimpleNamespace(is_ready=SimpleNamespace(remote=lambda: Call(number)), scan=SimpleNamespace(remote=scan))

    def wait(self, calls: list[Call], *, num_returns: int) -> tuple[list[Call], list[Call]]:
        assert num_returns == 1
        # A new actor in place of a lost one has no host to start on.
        starting = [call for call in calls if call.job is None and call.actor < self.hosts]
        if starting:
            return starting[:1], []
        name = self.endings[0].removeprefix("!")
        (ended,) = [call for call in calls if call.job is not None and call.job.slide.name == name]
        return [ended], []

    def get(self, call: Call) -> Any:
        if call.job is None:
            return True
        if self.endings.pop(0).startswith("!"):
            raise RayActorError("the actor died\nbecause of the test")
        return Outcome(str(call.job.slide), Status.OK, "", call.job.folder.name, 1, 1.0, 1.0)
