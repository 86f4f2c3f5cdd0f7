"""What may become of a job: no way out of a final state, and no change without its cause."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs import lifecycle
from service.jobs.lifecycle import Fetch, Job, JobProgress, JobState, ScanRequest, TransitionError

REQUEST = ScanRequest("uploads/a/slide.tif", "a" * 64, "slide.tif", "tiny", "b" * 64)
JOB = Job("j", REQUEST, "local", created_at=1.0)
FETCHED = replace(JOB, request=replace(REQUEST, slide=""), fetch=Fetch("s3://slides/a.tif"))
CHANGES = {
    "start": lambda job: lifecycle.start(job, worker="w", now=2.0),
    "advance": lambda job: lifecycle.advance(job, JobProgress(1, 2, 0.5, 1.0)),
    "finish": lambda job: lifecycle.finish(job, now=3.0),
    "fail": lambda job: lifecycle.fail(job, problem={"type": "x"}, now=3.0),
    "request_cancel": lambda job: lifecycle.request_cancel(job, now=3.0),
    "cancel": lambda job: lifecycle.cancel(job, now=3.0),
    "advance_fetch": lambda job: lifecycle.advance_fetch(job, bytes_done=1, bytes_total=2),
    "arrive": lambda job: lifecycle.finish_fetch(job, REQUEST),
    "requeue": lambda job: lifecycle.requeue(job),
}


@given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=12))
def test_whatever_happens_a_final_job_stays_as_it_is(names: list[str]) -> None:
    job = FETCHED
    for name in names:
        before = job
        try:
            job = CHANGES[name](job)
        except TransitionError:
            job = before
            continue
        assert not before.state.is_final
        assert (job.worker is None) == (job.state is not JobState.RUNNING)
        assert (job.finished_at is not None) == job.state.is_final
        assert job.attempt - before.attempt == (name == "start")
        assert (job.problem is not None) == (job.state is JobState.FAILED)


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop() -> None:
    assert lifecycle.request_cancel(JOB, now=2.0).state is JobState.CANCELLED
    running = lifecycle.request_cancel(lifecycle.start(JOB, worker="w", now=2.0), now=3.0)
    assert (running.state, running.cancel_requested) == (JobState.RUNNING, True)


def test_a_second_start_keeps_the_first_time() -> None:
    again = lifecycle.start(lifecycle.start(JOB, worker="a", now=2.0), worker="b", now=9.0)
    assert (again.started_at, again.attempt, again.worker) == (2.0, 2, "b")


@pytest.mark.parametrize(
    ("field", "value", "is_same"),
    [
        ("slide", "elsewhere/slide.png", True),
        ("slide_name", "other.tif", True),
        ("slide_sha256", "c" * 64, False),
        ("model", "other", False),
        ("model_sha256", "c" * 64, False),
        ("card_sha256", "c" * 64, False),
        ("threshold", 0.5, False),
        ("stride", 8, False),
        ("mpp", 0.25, False),
        ("keep_ink", True, False),
        ("precision", "bfloat16", False),
        ("precision", "float32", True),
    ],
)
def test_a_result_is_addressed_by_what_it_depends_on(field: str, value: object, is_same: bool) -> None:
    changed = replace(REQUEST, **{field: value})
    assert (changed.result_key == REQUEST.result_key) == is_same
