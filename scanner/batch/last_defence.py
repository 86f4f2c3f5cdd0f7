"""Errors that must not end a batch: of one slide, or of what happens beside the slides; they are recorded or logged."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scanner.batch.outcomes import BatchCallbacks, Outcome, Status, write_batch
from scanner.batch.worklist import Job
from scanner.errors import ScannerError
from scanner.files.printable import printable

#: Characters of a reason, and of a traceback, that batch.json keeps.
MAX_REASON, MAX_TRACEBACK = 2_000, 8_000
#: Requests to end the program.
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
        # A bug of ours, a lack of memory, or a library's own fatal error: the other slides are scanned all the same.
        logger.exception("scan of %s failed", printable(job.slide))
        return failed(job, out, _describe(error), trace=_trace(error))


def failed(job: Job, out: Path, reason: str, *, trace: str = "") -> Outcome:
    """The outcome of a slide that has failed."""
    shown = _cut(reason, MAX_REASON)
    return Outcome(str(job.slide), Status.FAILED, shown, place_of(job, out), image=job.image, traceback=trace)


def place_of(job: Job, out: Path) -> str:
    """A slide's result folder, relative to that of the batch."""
    if job.folder.is_relative_to(out):
        return str(job.folder.relative_to(out))
    return os.path.relpath(job.folder, out)


def guarded(callbacks: BatchCallbacks | None) -> BatchCallbacks:
    """Callbacks whose errors do not end the batch: a terminal may be gone, or take no umlauts."""
    own = callbacks or BatchCallbacks()
    return BatchCallbacks(*(_guard(call) for call in (own.on_start, own.on_progress, own.on_outcome)))


def record(out: Path, outcomes: Sequence[Outcome], *, total: int) -> None:
    """Write batch.json, if that is possible now: it is written again after the next slide."""
    try:
        write_batch(out, outcomes, total=total)
    except _ENDS:
        raise
    except BaseException:
        logger.exception("batch.json could not be written; it is written again after the next slide")


def _guard(call: Callable[..., None]) -> Callable[..., None]:
    def guarded_call(*values: Any) -> None:
        try:
            call(*values)
        except _ENDS:
            raise
        except BaseException:
            logger.exception("a callback of the batch has failed")

    return guarded_call


def _describe(error: BaseException) -> str:
    try:
        reason = str(error).strip()
    except Exception:  # The exception's own __str__ fails.
        reason = ""
    return f"unexpected {type(error).__name__}" + (f": {reason}" if reason else "")


def _trace(error: BaseException) -> str:
    try:
        return _cut("".join(traceback.format_exception(error)), MAX_TRACEBACK, keep_end=True)
    except Exception:  # As where memory is short.
        return ""


def _cut(text: str, length: int, *, keep_end: bool = False) -> str:
    if len(text) <= length:
        return text
    return f"...{text[-length:]}" if keep_end else f"{text[:length]}..."
