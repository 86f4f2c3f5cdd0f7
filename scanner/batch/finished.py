"""A slide that is already scanned: what its result folder says, and whether that is the scan that is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.registry import Model
from scanner.batch.last_defence import place_of
from scanner.batch.outcomes import Outcome, Status, assumed_mpp
from scanner.batch.worklist import Job
from scanner.errors import OutputExistsError
from scanner.files.result_names import REPORT_NAME
from scanner.files.run_report import as_written, domain_warning
from scanner.inference.scan_identity import asked_for
from scanner.maps.unfinished import remove_leftovers
from scanner.settings import ScanSettings


@dataclass(frozen=True)
class FinishedScan:
    """A scan whose results are complete."""

    #: The content of its run.json.
    report: dict[str, Any]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of its grid, in px."""
        return self.report["grid"]["height"], self.report["grid"]["width"]

    @property
    def areas_mm2(self) -> tuple[float, float, float]:
        """Of the slide, of its tissue, and of what was scanned."""
        area_mm2 = self.report["area_mm2"]
        return area_mm2["slide"], area_mm2["tissue"], area_mm2["scanned"]

    @property
    def assumed_mpp(self) -> float | None:
        """The model's mpp, where the image states none."""
        return assumed_mpp(self.report)

    def outcome(self, job: Job, out: Path, status: Status) -> Outcome:
        """How the slide ended: scanned now, or skipped."""
        report, area_mm2 = self.report, self.report["area_mm2"]
        return Outcome(
            str(job.slide),
            status,
            folder=place_of(job, out),
            count=report["count"],
            tissue_mm2=area_mm2["tissue"],
            unreadable_mm2=area_mm2["unreadable"],
            seconds=report["timing"]["total"] if status is Status.OK else None,
            tiling_difference=report.get("verification", {}).get("max_difference"),
            class_mm2={one["name"]: one["area_mm2"] for one in report["classes"]} if "classes" in report else None,
            image=job.image,
            assumed_mpp=self.assumed_mpp,
            domain_warning=domain_warning(report),
        )


def find_finished(job: Job, model: Model, settings: ScanSettings) -> FinishedScan | None:
    """The finished scan of the same file with the same model and settings; None if there is none.

    Raises
    ------
    OutputExistsError
        The folder holds another scan.
    SlideNotFoundError
        The slide has gone since.
    """
    try:
        report: Any = json.loads((job.folder / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict):
        return None
    wanted = as_written(asked_for(settings, model.card, job.slide))
    if report.get("asked_for") != wanted:
        raise OutputExistsError(f"{job.folder} holds a scan with another slide, model or settings; pass --overwrite")
    if settings.verify_places and "verification" not in report:
        return None
    return FinishedScan(report)


def skip_job(job: Job, out: Path, finished: FinishedScan) -> Outcome:
    """The outcome of a slide that was scanned before; removes what a killed scan has left beside its results."""
    remove_leftovers(job.folder, finished.report["asked_for"])
    return finished.outcome(job, out, Status.SKIPPED)
