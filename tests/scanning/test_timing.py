"""Stages: every moment of a scan and of its command belongs to one of them, so that they add up."""

from __future__ import annotations

import json
import resource
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.stage_clock import Spent, StageClock
from tests.cli.commands import mitoscan
from tests.factories.slides import texture, write_pyramid

EXAMPLE = Path(__file__).parents[2] / "examples" / "CMU-1-Small-Region.svs"
#: Share of a command's time that no stage holds: what comes after batch.json is written.
MISSING = 0.03
#: On a loaded machine the end of a process takes longer than its share, after batch.json is written: once must do.
ATTEMPTS = 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 9), st.floats(0, 9)), min_size=1))
def test_stages_add_up_whatever_follows_what(steps: list[tuple[str, float, float]]) -> None:
    walls = accumulate([wall for _, wall, _ in steps], initial=5.0)
    processors = accumulate([cpu for _, _, cpu in steps], initial=5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(walls))
        clock = StageClock(steps[0][0], {"before": Spent(1.0, 2.0)}, processor=lambda: next(processors))
        for stage, _, _ in steps[1:]:
            clock.enter(stage)
        spent = clock.spent()
    assert sum(one.wall for one in spent.values()) == pytest.approx(1 + sum(wall for _, wall, _ in steps))
    for stage in "abc":
        assert spent.get(stage, Spent()).processor == pytest.approx(sum(cpu for own, _, cpu in steps if own == stage))


def _scan(slide: Path, out: Path) -> tuple[Spent, dict[str, dict[str, float]], dict[str, Any]]:
    """What a command took from outside, what it says of itself, and the timing of its slide."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = mitoscan("scan", slide, "-o", out, "--overwrite", "--device", "cpu")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    taken = Spent(time.perf_counter() - started, sum(after[:2]) - sum(before[:2]))
    timing = json.loads((out / slide.stem / "run.json").read_text())["timing"]
    return taken, json.loads((out / "batch.json").read_text())["timing"], timing


@pytest.mark.parametrize("kind", ["example", "pyramid"])
def test_the_stages_of_a_command_add_up_to_its_wall(kind: str, tmp_path: Path) -> None:
    slide = EXAMPLE
    if kind == "pyramid":
        slide = tmp_path / "pyramid.svs"
        write_pyramid(slide, texture(6144, 6144), compression="jpeg")
    missing = []
    for _ in range(ATTEMPTS):
        taken, command, timing = _scan(slide, tmp_path / "out")
        stages = timing["stages"]
        assert set(command) == {"start", "slides", "end"}
        assert set(stages) == {"survey", "network", "figures", "checks", "files"}
        assert timing["total"] == pytest.approx(sum(one["wall"] for one in stages.values()), abs=0.001)
        assert timing["total"] <= command["slides"]["wall"]
        assert timing["net"] <= stages["network"]["wall"]
        wall, processor = (sum(one[of] for one in command.values()) for of in ("wall", "processor"))
        assert wall <= taken.wall
        assert processor <= taken.processor * (1 + MISSING)
        missing.append(max(1 - wall / taken.wall, 1 - processor / taken.processor))
        if missing[-1] <= MISSING:
            break
    assert min(missing) <= MISSING, missing
