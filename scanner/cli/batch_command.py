"""`mitoscan scan` once its slides are known: estimate their cost, or scan them and report the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer

from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.command_clock import END, SLIDES, begin_command
from scanner.batch.estimate import Estimate, Estimator, MemoryStatement, state_memory
from scanner.batch.last_defence import or_failure
from scanner.batch.outcomes import Outcome, begin_batch, name_with_reason
from scanner.batch.worklist import Job
from scanner.cli.batch_end import end_batch
from scanner.cli.options import errors, fail_cleanly, say_assumption
from scanner.cli.progress import batch_display
from scanner.files.printable import printable


def run_batch(jobs: Sequence[Job], order: BatchOrder, out: Path, *, cluster: str | None = None) -> int:
    """Scan slides here or on a cluster, showing progress on stderr; returns the exit code."""
    clock = begin_command()
    # Before any folder is made: this refuses what the machine lacks. Hosts of a cluster check themselves.
    memory = fail_cleanly(lambda: state_memory(order)) if cluster is None else None
    fail_cleanly(lambda: begin_batch(out, order.keywords))
    if memory is not None:
        errors.print(describe_memory(memory), highlight=False, soft_wrap=True)
    clock.enter(SLIDES)
    with batch_display(errors, len(jobs)) as callbacks:
        if cluster is None:
            outcomes = fail_cleanly(lambda: scan_batch(jobs, order, out, callbacks=callbacks))
        else:
            from scanner.cluster.cluster import scan_cluster

            outcomes = fail_cleanly(lambda: scan_cluster(jobs, order, out, address=cluster, callbacks=callbacks))
    clock.enter(END)
    return end_batch(out, outcomes, clock)


def show_estimates(jobs: Sequence[Job], order: BatchOrder) -> int:
    """Print what every slide and all of them would cost, writing nothing; returns the exit code."""
    memory = fail_cleanly(lambda: state_memory(order))
    estimator = Estimator(order)
    estimates, failed = [], 0
    for job in jobs:
        answer = or_failure(job, job.folder, partial(estimator.estimate, job))
        if isinstance(answer, Outcome):
            failed += 1
            line = f"would fail: {name_with_reason(job.name, answer.reason)}"
            errors.print(line, style="red", markup=False, soft_wrap=True)
        else:
            estimates.append(answer)
            typer.echo(describe_estimate(answer))
            say_assumption(job.name, answer.assumed_mpp)
    typer.echo(describe_total(estimates, failed=failed))
    typer.echo(describe_memory(memory))
    return int(failed > 0)


def describe_estimate(estimate: Estimate) -> str:
    """One line on what a slide would cost."""
    if estimate.is_done:
        return f"{printable(estimate.name)}: already scanned"
    height, width = estimate.grid
    return (
        f"{printable(estimate.name)}: {estimate.scan_mm2:.2f} mm2 to scan ({estimate.tissue_mm2:.2f} mm2 of tissue, "
        f"slide {estimate.slide_mm2:.2f} mm2), grid {height} x {width} px, {estimate.tiles} tiles, "
        f"{describe_time(estimate.seconds)}"
    )


def describe_total(estimates: Sequence[Estimate], *, failed: int) -> str:
    """One line on what all slides would cost."""
    due = [estimate for estimate in estimates if not estimate.is_done]
    area, tiles = sum(estimate.scan_mm2 for estimate in due), sum(estimate.tiles for estimate in due)
    seconds = sum(estimate.seconds for estimate in due)
    others = [f"{len(estimates) - len(due)} already scanned", f"{failed} would fail"]
    said = ", ".join([f"{len(due)} slides", *(other for other in others if not other.startswith("0 "))])
    return f"total: {said}; {area:.2f} mm2 to scan, {tiles} tiles, {describe_time(seconds)}"


def describe_memory(memory: MemoryStatement) -> str:
    """The bound on memory, in words."""
    size = f"{memory.bytes / 2**30:.1f} GiB"
    return (
        f"memory: at most {size} on {memory.device}, whatever the slide (tiles of {memory.tile_side} px)\n"
        f"network: {memory.network}"
    )


def describe_time(seconds: float) -> str:
    """About how long, in the unit that people would use."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 90 else f"about {seconds / 3600:.1f} h"
