"""What a batch shows while it runs: a line for every slide that has ended, a bar for every open one, both on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from scanner.batch.outcomes import BatchCallbacks, Outcome, Status, describe_assumption, describe_domain
from scanner.batch.worklist import Job, name_image
from scanner.files.printable import printable
from scanner.geometry.windows import describe_area

if TYPE_CHECKING:
    from scanner.inference import progress as scan_progress


class AreaRateColumn(ProgressColumn):
    """Square millimetres per minute."""

    def render(self, task: Task) -> Text:
        """The rate of the last half minute, once there is one."""
        return Text("" if task.speed is None else f"{task.speed * 60:.1f} mm2/min")


@contextmanager
def batch_display(
    console: Console, total: int, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[BatchCallbacks]:
    """Callbacks that draw on `console`: mm2 done, their rate, and the time left of every open slide."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[area]}", markup=False),
        AreaRateColumn(),
        TimeRemainingColumn(),
    )
    finished = 0
    # A progress bar is noise in a log file: there, the line per slide is enough.
    is_shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_shown, get_time=clock) as bars:
        bar_of: dict[Job, TaskID] = {}

        def on_start(job: Job) -> None:
            number = finished + len(bar_of) + 1
            name = printable(name_image(job.slide.name, job.image))
            bar_of[job] = bars.add_task(f"{number}/{total} {name}", total=None, area="")

        def on_progress(job: Job, progress: scan_progress.Progress) -> None:
            area = f"{progress.mm2_done:.1f} of {progress.mm2_total:.1f} mm2"
            if progress.is_after_network:
                area = f"{progress.stage} {progress.stage_share:.0%}"
            bars.update(bar_of[job], completed=progress.mm2_done, total=progress.mm2_total, area=area)

        def on_outcome(job: Job, outcome: Outcome) -> None:
            nonlocal finished
            finished += 1
            if job in bar_of:
                bars.remove_task(bar_of.pop(job))
            style = "red" if outcome.status is Status.FAILED else None
            line = f"{finished}/{total} {describe_outcome(outcome)}"
            console.print(line, style=style, markup=False, soft_wrap=True)
            if outcome.assumed_mpp is not None:
                line = describe_assumption(outcome.name, outcome.assumed_mpp)
                console.print(line, style="yellow", markup=False, soft_wrap=True)
            if outcome.domain_warning:
                line = describe_domain(outcome.name, outcome.domain_warning)
                console.print(line, style="yellow", markup=False, soft_wrap=True)

        yield BatchCallbacks(on_start, on_progress, on_outcome)


def describe_outcome(outcome: Outcome) -> str:
    """One line on how a slide ended."""
    if outcome.status is Status.FAILED:
        return printable(f"{outcome.name}: failed: {outcome.reason}")
    slide, found = printable(outcome.name), describe_findings(outcome)
    if outcome.unreadable_mm2:
        found += f" ({describe_area(outcome.unreadable_mm2)} more cannot be read)"
    if outcome.status is Status.SKIPPED:
        return f"{slide}: {found}, already scanned"
    line = f"{slide}: {found}, {outcome.seconds:.1f} s"
    if outcome.tiling_difference is not None:
        line += f"; shifted tiles differ by at most {outcome.tiling_difference:.1e}"
    return line


def describe_findings(outcome: Outcome) -> str:
    """Detections in so much tissue; of a segmentation the area of each class."""
    if outcome.class_mm2 is not None:
        return ", ".join(f"{name} {describe_area(area)}" for name, area in outcome.class_mm2.items())
    return f"{outcome.count} detections in {describe_area(outcome.tissue_mm2 or 0.0)} of tissue"
