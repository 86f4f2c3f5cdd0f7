"""The simulated cluster: no work is lost or done twice, and time is what the slowest resource allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale.simulation import Cluster, SlideWork, StageTimes, simulate

TIMES = StageTimes(survey=1.0, network_per_mm2=2.0, finish=0.5, finish_per_mm2=0.1, dispatch=0.0)
SLIDES = st.lists(
    st.builds(SlideWork, mm2=st.floats(0.1, 400), bands=st.integers(1, 40), gigabytes=st.just(0.0)),
    min_size=1,
    max_size=12,
)


def _alone(slide: SlideWork) -> float:
    return 1.0 + 2.0 * slide.mm2 + 0.5 + 0.1 * slide.mm2


@given(SLIDES)
def test_one_worker_does_all_of_it_one_after_the_other(slides: list[SlideWork]) -> None:
    found = simulate(slides, Cluster((1.0,), store=1.0), TIMES)
    assert found.seconds == pytest.approx(sum(map(_alone, slides)))
    assert found.busy == pytest.approx(found.seconds)


@given(SLIDES, st.lists(st.floats(0.3, 2.0), min_size=1, max_size=16))
def test_work_takes_no_less_than_its_share_and_nobody_waits_without_need(
    slides: list[SlideWork], speeds: list[float]
) -> None:
    found = simulate(slides, Cluster(tuple(speeds), store=1.0), TIMES)
    work = sum(map(_alone, slides))
    assert found.seconds * sum(speeds) >= work * (1 - 1e-9)
    # Each worker may open each slide once, and at the end all wait for one band, or one finish, on the slowest.
    most = max(1 + 2.0 * slide.mm2 / slide.bands + 0.5 + 0.1 * slide.mm2 for slide in slides)
    opened = len(slides) * len(speeds) * TIMES.survey
    assert found.seconds <= (work + opened) / sum(speeds) + 3 * (most + opened) / min(speeds)


@given(SLIDES, st.integers(1, 16))
def test_a_store_that_all_share_bounds_all(slides: list[SlideWork], workers: int) -> None:
    read = [SlideWork(slide.mm2, slide.bands, gigabytes=slide.mm2) for slide in slides]
    found = simulate(read, Cluster((1.0,) * workers, store=0.25), TIMES)
    assert found.seconds >= sum(slide.gigabytes for slide in read) / 0.25 * (1 - 1e-9)
