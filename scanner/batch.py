"""Many slides: what is already done, and a loop that no bad slide stops."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from models.registry import Model
from scanner.errors import OutputError, OutputExistsError, ScannerError, SlideNotFoundError
from scanner.exports.run_report import write_report
from scanner.map_store import remove_leftovers
from scanner.report import REPORT_NAME, asked_for
from scanner.result import OnProgress
from scanner.scanning import scan
from scanner.settings import ScanSettings, SettingsKeywords
from scanner.worklist import Job

BATCH_NAME = "batch.json"
logger = logging.getLogger(__name__)


class Status(StrEnum):
    """How a slide of a batch ended."""

    OK = "ok"  # scanned now
    SKIPPED = "skipped"  # its results are there, from the same file, model and settings
    FAILED = "failed"  # see the reason


@dataclass(frozen=True)
class Outcome:
    """A line of batch.json."""

    slide: str
    status: Status
    #: Why it failed; empty otherwise.
    reason: str = ""
    #: The result folder, relative to batch.json.
    folder: str = ""
    count: int | None = None
    tissue_mm2: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Watcher:
    """What the caller hears of a batch: each slide as it starts, its progress, how it ended."""

    on_start: Callable[[Job], None] = lambda _job: None
    on_progress: OnProgress = lambda _progress: None
    on_outcome: Callable[[Outcome], None] = lambda _outcome: None


def scan_batch(
    jobs: Sequence[Job],
    model: Model,
    out: Path,
    *,
    keywords: SettingsKeywords,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> list[Outcome]:
    """Scan every slide; one that fails is recorded and the next one begins.

    Parameters
    ----------
    jobs : sequence of Job
    model : Model
    out : Path
        Folder of the batch; batch.json in it is rewritten after every slide.
    keywords : mapping
        Fields of ScanSettings, the same for every slide.
    overwrite : bool
        Scan again what is there already, instead of skipping it.
    watcher : Watcher, optional

    Returns
    -------
    list of Outcome
        In the order of `jobs`.
    """
    watcher = watcher or Watcher()
    ScanSettings(**keywords)  # An impossible setting fails once, before the first slide.
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}") from error
    outcomes: list[Outcome] = []
    for job in jobs:
        watcher.on_start(job)
        outcome = _scan_one(job, model, out, keywords=keywords, overwrite=overwrite, on_progress=watcher.on_progress)
        outcomes.append(outcome)
        write_report(out / BATCH_NAME, _batch_content(outcomes, len(jobs)))
        watcher.on_outcome(outcome)
    return outcomes


def _scan_one(
    job: Job, model: Model, out: Path, *, keywords: SettingsKeywords, overwrite: bool, on_progress: OnProgress
) -> Outcome:
    name, place = str(job.slide), os.path.relpath(job.folder, out)
    try:
        report = None if overwrite else finished_report(job, model, ScanSettings(**keywords))
        if report is not None:
            remove_leftovers(job.folder)
            return _outcome(name, Status.SKIPPED, place, report)
        result = scan(job.slide, model, job.folder, on_progress=on_progress, **keywords)
        result.map.close()
        return _outcome(name, Status.OK, place, result.report)
    except ScannerError as error:
        return Outcome(name, Status.FAILED, str(error), place)
    except Exception as error:
        # A fault of ours, or memory: the night's other slides must not pay for it. The traceback goes to the log.
        logger.exception("scan of %s failed", name)
        return Outcome(name, Status.FAILED, f"unexpected {type(error).__name__}: {error}", place)


def finished_report(job: Job, model: Model, settings: ScanSettings) -> dict[str, Any] | None:
    """The report of a finished scan of the same file with the same model and settings; None if there is none.

    Raises
    ------
    OutputExistsError
        The folder holds another scan.
    """
    path = job.folder / REPORT_NAME
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    try:
        wanted = json.loads(json.dumps(asked_for(settings, model.card, job.slide)))
    except OSError as error:
        raise SlideNotFoundError(f"{job.slide}: {error.strerror}") from error
    if report.get("asked_for") != wanted:
        raise OutputExistsError(f"{job.folder} holds a scan with another slide, model or settings; pass --overwrite")
    return report


def _outcome(name: str, status: Status, place: str, report: dict[str, Any]) -> Outcome:
    seconds = report["timing"]["total"] if status is Status.OK else None
    return Outcome(name, status, "", place, report["count"], report["area_mm2"]["tissue"], seconds)


def _batch_content(outcomes: list[Outcome], total: int) -> dict[str, Any]:
    counts = Counter(outcome.status for outcome in outcomes)
    return {
        "total": total,
        **{str(status): counts[status] for status in Status},
        "slides": [asdict(outcome) for outcome in outcomes],
    }
