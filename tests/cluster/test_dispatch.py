"""Laws of who does what next: every slide is finished once, after all its bands, whoever is lost on the way."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from scanner.cluster.dispatch import Dispatch, Step, Task


@given(bands=st.lists(st.integers(0, 6), min_size=1, max_size=5), workers=st.integers(1, 4), seed=st.randoms())
def test_every_slide_is_finished_once_after_all_its_bands(bands: list[int], workers: int, seed: object) -> None:
    dispatch, draw = Dispatch(deque(range(len(bands)))), seed
    at_hand: list[int | None] = [None] * workers
    busy: dict[int, Task] = {}
    scored: Counter[tuple[int, int]] = Counter()
    finished: list[int] = []
    lost = 0
    while len(finished) < len(bands):
        for worker in range(workers):
            if worker not in busy and (task := dispatch.next_task(at_hand[worker])) is not None:
                busy[worker], at_hand[worker] = task, task.slide
        assert busy, "slides are left, and nobody has anything to do"
        worker = draw.choice(sorted(busy))  # type: ignore[attr-defined]
        task = busy.pop(worker)
        if lost < 5 and draw.random() < 0.2:  # type: ignore[attr-defined]
            dispatch.lose(task)
            at_hand[worker], lost = None, lost + 1
            continue
        onwards = None
        if task.step is Step.SURVEY:
            onwards = dispatch.surveyed(task.slide, bands[task.slide])
        elif task.step is Step.SCORE:
            assert task.band is not None
            scored[task.slide, task.band] += 1
            onwards = dispatch.scored(task)
        else:
            of_slide = [place for place in scored if place[0] == task.slide]
            assert len(of_slide) == (bands[task.slide] if bands[task.slide] > 1 else 0)
            finished.append(task.slide)
            dispatch.end(task.slide)
        if onwards is not None:
            busy[worker] = onwards
    assert sorted(finished) == list(range(len(bands)))
    assert set(scored.values()) <= {1}
    assert dispatch.open_tasks == 0
    assert not busy


def test_a_slide_that_has_failed_is_given_to_nobody() -> None:
    dispatch = Dispatch(deque([0]))
    survey = dispatch.next_task(None)
    assert survey == Task(0, Step.SURVEY)
    assert dispatch.surveyed(0, 3) is None
    first, second = dispatch.next_task(0), dispatch.next_task(None)
    assert (first, second) == (Task(0, Step.SCORE, 0), Task(0, Step.SCORE, 2))
    dispatch.lose(second)  # type: ignore[arg-type]
    dispatch.end(0)
    assert dispatch.next_task(0) is None
    assert dispatch.scored(first) is None  # type: ignore[arg-type]
