"""A Ray whose hosts die when the test says so: what scan_cluster uses of it, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from scanner.batch.outcomes import Outcome, Status
from scanner.cluster.dispatch import Step, Task
from scanner.cluster.worker import Answer, Assignment
from scanner.devices.device_queue import StageSeconds
from scanner.inference.progress import Progress


class RayError(Exception):
    """Whatever Ray says."""


class RayActorError(RayError):
    """The host of an actor is gone."""


@dataclass(eq=False)
class Call:
    """A call of an actor, which may never be answered."""

    actor: int
    assignment: Assignment | None = None
    is_question: bool = False

    @property
    def name(self) -> str:
        """Of the task: the slide's name, with the number of its band if it is to be scored."""
        assert self.assignment is not None
        band = self.assignment.task.band
        return self.assignment.job.slide.name + ("" if band is None else str(band))


@dataclass
class FakeRay:
    """Stands in for the module `ray`, with one processor for each of its hosts."""

    hosts: int
    #: Names of tasks, in the order in which they end: "a" for a slide, "a2" for its band 2, "?a2" for an answer on its
    #: progress; one that starts with "!" ends by the loss of its host. Slides are begun at once.
    endings: list[str]
    #: Bands of slides that have more than one.
    bands: dict[str, int] = field(default_factory=dict)
    #: Every task that was given out, but the beginning of slides: its name, actor, whether a host was lost before.
    begun: list[tuple[str, int, bool]] = field(default_factory=list)
    #: Why the hosts cannot do what is asked; empty if they can.
    refusal: str = ""
    #: What each actor of these numbers says instead of starting.
    broken: dict[int, str] = field(default_factory=dict)
    #: Whether the cluster has nothing to start a worker on.
    is_empty: bool = False
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(RayActorError=RayActorError, RayError=RayError))
    actors: int = 0
    #: Actors that were told to end.
    killed: list[int] = field(default_factory=list)

    def init(self, **_options: Any) -> None: ...

    def shutdown(self) -> None: ...

    def kill(self, actor: Any) -> None:
        self.killed.append(actor.number)

    def put(self, value: Any) -> Any:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {} if self.is_empty else {"CPU": float(self.hosts)}

    def remote(self, **_options: Any) -> Callable[[type], Any]:
        return lambda _kind: SimpleNamespace(remote=self._make_actor)

    def _make_actor(self, _order: Any) -> Any:
        number, self.actors = self.actors, self.actors + 1

        def work(assignment: Assignment) -> Call:
            call = Call(number, assignment)
            if assignment.task.step is not Step.SURVEY:
                self.begun.append((call.name, number, assignment.was_lost))
            return call

        return SimpleNamespace(
            number=number,
            refusal=SimpleNamespace(remote=lambda: Call(number)),
            work=SimpleNamespace(remote=work),
            progress=SimpleNamespace(remote=lambda: Call(number, is_question=True)),
        )

    def wait(self, calls: list[Call], *, num_returns: int, timeout: float | None) -> tuple[list[Call], list[Call]]:
        assert num_returns == 1
        if self.is_empty:
            assert timeout is not None, "nobody will ever answer"
            return [], calls
        # A new actor in place of a lost one has no host to start on; one that has not started has left its own.
        work = [call for call in calls if not call.is_question]
        started = self.hosts + len(self.broken)
        starting = [call for call in work if call.assignment is None and call.actor < started]
        given = [call for call in work if call.assignment is not None]
        opening = [call for call in given if call.assignment.task.step is Step.SURVEY]  # type: ignore[union-attr]
        if starting or opening:
            return (starting + opening)[:1], []
        name = self.endings[0].lstrip("!?")
        (ended,) = [call for call in given if call.name == name]
        if self.endings[0].startswith("?"):
            (ended,) = [call for call in calls if call.is_question and call.actor == ended.actor]
            ended.assignment = next(call.assignment for call in given if call.actor == ended.actor)
        return [ended], []

    def get(self, call: Call) -> Any:
        if call.is_question:
            assert self.endings.pop(0).startswith("?")
            assert call.assignment is not None
            return call.assignment.task, Progress(1, 2, 0.5, 1.0)
        if call.assignment is None:
            if call.actor in self.broken:
                raise RayError(self.broken[call.actor])
            return self.refusal
        if call.assignment.task.step is not Step.SURVEY and self.endings.pop(0).startswith("!"):
            raise RayActorError("the actor died\nbecause of the test")
        return self._answer(call.assignment, call.assignment.task)

    def _answer(self, assignment: Assignment, task: Task) -> Answer:
        job = assignment.job
        if task.step is Step.SURVEY:
            return [Progress(0, 2, 0.0, 1.0)] * self.bands.get(job.slide.name, 1)
        if task.step is Step.SCORE:
            return StageSeconds(net=1.0)
        return Outcome(str(job.slide), Status.OK, "", job.folder.name, 1, 1.0, 0.0, 1.0)
