"""What a batch shows: a line per slide everywhere, a bar in mm2 on a terminal alone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from scanner.batch.outcomes import Outcome, Status
from scanner.batch.worklist import Job
from scanner.cli.progress import batch_display, describe_outcome
from scanner.inference.progress import Progress

JOB = Job(Path("slides/a.svs"), Path("out/a"))
OUTCOME = Outcome("slides/a.svs", Status.OK, "", "a", 7, 12.5, 0.0, 90.0)


def shown(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200, highlight=False)
    now = 0.0
    with batch_display(console, 2, clock=lambda: now) as callbacks:
        callbacks.on_start(JOB)
        for seconds in range(4):
            now = seconds * 10.0
            callbacks.on_progress(JOB, Progress(seconds + 1, 40, 0.5 * (seconds + 1), 20.0))
        if not terminal:  # Its bar goes when a slide ends.
            callbacks.on_outcome(JOB, OUTCOME)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_bar_has_area_rate_and_time_left() -> None:
    text = shown(terminal=True)
    assert "1/2 a.svs" in text
    assert "2.0 of 20.0 mm2" in text
    # 0.5 mm2 in ten seconds; 18 mm2 are left.
    assert "3.0 mm2/min" in text
    assert "0:06:00" in text


def test_a_log_file_gets_a_line_per_slide_and_no_bar() -> None:
    assert shown(terminal=False) == "1/2 slides/a.svs: 7 detections in 12.500 mm2 of tissue, 90.0 s\n"


def test_a_segmentation_has_areas_and_no_detections() -> None:
    areas = {"inside": 1.25, "membrane": 4.19e-6}
    outcome = Outcome("a.png", Status.OK, "", "a", 0, 1.25, 0.0, 9.0, class_mm2=areas)
    assert describe_outcome(outcome) == "a.png: inside 1.250 mm2, membrane 4.190 um2, 9.0 s"


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome("a.svs", Status.FAILED, "no mpp", "a"), "a.svs: failed: no mpp"),
        (
            Outcome("a.svs", Status.SKIPPED, "", "a", 7, 12.5),
            "a.svs: 7 detections in 12.500 mm2 of tissue, already scanned",
        ),
        (
            Outcome("a.svs", Status.OK, "", "a", 7, 12.5, 0.25, 90.0),
            "a.svs: 7 detections in 12.500 mm2 of tissue (0.250 mm2 more cannot be read), 90.0 s",
        ),
        (
            Outcome("a.svs", Status.OK, "", "a", 7, 12.5, 0.0, 90.0, 3e-8),
            "a.svs: 7 detections in 12.500 mm2 of tissue, 90.0 s; shifted tiles differ by at most 3.0e-08",
        ),
    ],
)
def test_every_outcome_is_one_line(outcome: Outcome, line: str) -> None:
    assert describe_outcome(outcome) == line
