"""What keeps a batch going: whatever goes wrong with one slide, or beside the slides, is said and ends nothing."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scanner.batch.outcomes import Outcome, Status, Watcher, write_batch
from scanner.batch.worklist import Job
from scanner.errors import ScannerError
from scanner.files.printable import printable

#: Characters of a reason, and of a traceback, that batch.json keeps.
MAX_REASON, MAX_TRACEBACK = 2_000, 8_000
#: Whoever raises these wants the program to end.
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


def or_failure(job: Job, out: Path, action: Callable[[], _Answer]) -> _Answer | Outcome:
    """What `action` returns; whatever goes wrong in it is an outcome, but for what ends the program."""
    try:
        return action()
    except _ENDS:
        raise
    except ScannerError as error:
        return failed(job, out, str(error))
    except BaseException as error:
        # A fault of ours, or memory, or a library's own kind of panic: the night's other slides must not pay for it.
        logger.exception("scan of %s failed", printable(job.slide))
        return failed(job, out, _describe(error), trace=_trace(error))


def failed(job: Job, out: Path, reason: str, *, trace: str = "") -> Outcome:
    """The outcome of a slide that has failed."""
    said = _cut(reason, MAX_REASON)
    return Outcome(str(job.slide), Status.FAILED, said, place_of(job, out), image=job.image, traceback=trace)


def place_of(job: Job, out: Path) -> str:
    """A slide's result folder, relative to that of the batch."""
    if job.folder.is_relative_to(out):
        return str(job.folder.relative_to(out))
    return os.path.relpath(job.folder, out)


def guarded(watcher: Watcher | None) -> Watcher:
    """A watcher none of whose calls ends the batch: a terminal may be gone, or take no umlauts."""
    heard = watcher or Watcher()
    return Watcher(*(_guard(call) for call in (heard.on_start, heard.on_progress, heard.on_outcome)))


def record(out: Path, outcomes: Sequence[Outcome], *, total: int) -> None:
    """Write batch.json, if that is possible now: it is written again after the next slide."""
    try:
        write_batch(out, outcomes, total=total)
    except _ENDS:
        raise
    except BaseException:
        logger.exception("batch.json is behind")


def _guard(call: Callable[..., None]) -> Callable[..., None]:
    def guarded_call(*values: Any) -> None:
        try:
            call(*values)
        except _ENDS:
            raise
        except BaseException:
            logger.exception("what watches the batch has failed")

    return guarded_call


def _describe(error: BaseException) -> str:
    try:
        said = str(error).strip()
    except Exception:  # Some cannot even say what they are.
        said = ""
    return f"unexpected {type(error).__name__}" + (f": {said}" if said else "")


def _trace(error: BaseException) -> str:
    try:
        return _cut("".join(traceback.format_exception(error)), MAX_TRACEBACK, keep_end=True)
    except Exception:  # As where memory is short.
        return ""


def _cut(text: str, length: int, *, keep_end: bool = False) -> str:
    if len(text) <= length:
        return text
    return f"...{text[-length:]}" if keep_end else f"{text[:length]}..."
