"""How a batch ends: its page, its failures and its exit code.

Imports without torch: a batch of which no slide is there ends at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from scanner.batch.command_clock import begin_command
from scanner.batch.last_defence import failed
from scanner.batch.outcomes import (
    BATCH_NAME,
    Outcome,
    Status,
    begin_batch,
    describe_batch,
    describe_failures,
    write_batch,
)
from scanner.batch.worklist import Job
from scanner.cli.options import errors, fail_cleanly
from scanner.cli.progress import batch_display
from scanner.exports.batch_page import write_batch_page
from scanner.files.printable import printable
from scanner.settings import SettingsKeywords
from scanner.stage_clock import StageClock


def find_absent(jobs: Sequence[Job], out: Path) -> list[Outcome]:
    """How every slide fails if none of them is there; empty if any is."""
    outcomes = []
    for job in jobs:
        try:
            os.stat(job.slide)
        except (FileNotFoundError, NotADirectoryError) as error:
            outcomes.append(failed(job, out, job.fault or f"{job.slide}: {error.strerror}"))
        except (OSError, ValueError):  # It may exist: the scan will show.
            return []
        else:
            return []
    return outcomes


def end_absent(jobs: Sequence[Job], outcomes: Sequence[Outcome], out: Path, keywords: SettingsKeywords) -> int:
    """Write and show the failures as any batch does; returns the exit code."""
    fail_cleanly(lambda: begin_batch(out, keywords))
    fail_cleanly(lambda: write_batch(out, outcomes, total=len(jobs)))
    with batch_display(errors, len(jobs)) as callbacks:
        for job, outcome in zip(jobs, outcomes, strict=True):
            callbacks.on_outcome(job, outcome)
    return end_batch(out, outcomes, begin_command())


def end_batch(out: Path, outcomes: Sequence[Outcome], clock: StageClock) -> int:
    """Write the page of a batch, name what failed, say where the results are; returns the exit code."""
    total = len(outcomes)
    is_written = _try(lambda: write_batch_page(out, describe_batch(outcomes, total=total)))
    # Again: the disk may have been full before, and only now all of the command's time is known.
    is_written &= _try(lambda: write_batch(out, outcomes, total=total, spent=clock.spent()))
    for line in describe_failures(outcomes):
        errors.print(line, style="red", markup=False, soft_wrap=True)
    typer.echo(os.fsencode(out / BATCH_NAME))  # The name as it is: programs open it.
    return int(not is_written or any(outcome.status is Status.FAILED for outcome in outcomes))


def _try(write: Callable[[], None]) -> bool:
    """Whether a file could be written; an error is printed, and the command goes on to name the failed slides."""
    try:
        write()
    except Exception as error:
        errors.print(printable(f"mitoscan: {error}"), style="red", markup=False, soft_wrap=True)
        return False
    return True
