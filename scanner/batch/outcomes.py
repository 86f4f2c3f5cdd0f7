"""How the slides of a batch ended: an outcome for each, in batch.json and as text. Imports without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.batch.worklist import Job, name_image
from scanner.errors import OutputError
from scanner.files.atomic import remove_parts
from scanner.files.printable import printable
from scanner.files.run_report import write_report
from scanner.settings import ScanSettings, SettingsKeywords
from scanner.stage_clock import Spent, describe_stages

if TYPE_CHECKING:
    from scanner.inference.progress import Progress

BATCH_NAME = "batch.json"
#: Age of temporary files that a killed batch has left; it takes milliseconds to write one.
STALE_SECONDS = 3600.0


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
    #: Tissue that could not be read, and is in no other area.
    unreadable_mm2: float | None = None
    seconds: float | None = None
    #: Largest difference that a second scan of some places, with other tiles, has found.
    tiling_difference: float | None = None
    #: Of a segmentation, which has no detections: the area of each class.
    class_mm2: dict[str, float] | None = None
    #: Index of the image of its file; None: the first that is no overview.
    image: int | None = None
    #: The model's mpp, where the image states none: all areas and distances depend on it.
    assumed_mpp: float | None = None
    #: Of a slide that is unlike those the model was trained on: what is unlike, and what to do.
    domain_warning: str = ""
    #: Of an unexpected error: the traceback, its end if it is long.
    traceback: str = ""

    @property
    def name(self) -> str:
        """The slide, and which of its images it is."""
        return name_image(self.slide, self.image)


@dataclass(frozen=True)
class BatchCallbacks:
    """Called by a batch: when a slide starts, as it progresses, when it ends.

    The batch goes on when one of them raises.
    """

    on_start: Callable[[Job], None] = lambda _job: None
    on_progress: Callable[[Job, Progress], None] = lambda _job, _progress: None
    on_outcome: Callable[[Job, Outcome], None] = lambda _job, _outcome: None


def begin_batch(out: Path, keywords: SettingsKeywords) -> ScanSettings:
    """Check settings and folder once, before the first slide."""
    settings = ScanSettings(**keywords)
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_parts(out, older_than=STALE_SECONDS)  # Another batch may be writing its batch.json there.
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}") from error
    return settings


def write_batch(
    out: Path, outcomes: Iterable[Outcome], *, total: int, spent: Mapping[str, Spent] | None = None
) -> None:
    """Write batch.json: how every slide ended so far, of so many; at the end also what the command took."""
    timing = {} if spent is None else {"timing": describe_stages(spent)}
    write_report(out / BATCH_NAME, describe_batch(outcomes, total=total) | timing)


def describe_batch(outcomes: Iterable[Outcome], *, total: int) -> dict[str, Any]:
    """The content of batch.json, paths as they are."""
    slides = [asdict(outcome) for outcome in outcomes]
    counts = Counter(slide["status"] for slide in slides)
    return {"total": total, **{str(status): counts[status] for status in Status}, "slides": slides}


def describe_failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Every slide that failed, with its reason; nothing for a single slide, which has just been named."""
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    if not failed or len(outcomes) == 1:
        return []
    return [
        f"{len(failed)} of {len(outcomes)} slides failed:",
        *(f"  {name_with_reason(outcome.name, outcome.reason)}" for outcome in failed),
    ]


def assumed_mpp(report: dict[str, Any]) -> float | None:
    """The mpp of a scan's report if it was assumed, because the image states none."""
    mpp: float | None = report["mpp"] if report["mpp_source"] == "assumed" else None
    return mpp


def describe_assumption(name: str, mpp: float, *, option: str = "--mpp") -> str:
    """One line on a slide, or fields, that do not state their mpp."""
    return (
        f"mitoscan: {name}: its mpp is not stated; the model's {mpp:g} um/px is assumed; pass {option} if that is wrong"
    )


def describe_domain(name: str, warning: str) -> str:
    """One line on a slide that is unlike those its model was trained on."""
    return printable(f"mitoscan: {name}: {warning}")


def name_with_reason(slide: str, reason: str) -> str:
    """The slide's path and what is wrong with it, on one line; most reasons begin with the path."""
    return printable(reason if reason.startswith(slide) else f"{slide}: {reason}")
