"""One job's scan: calls scan(), records its progress, and stops it when it must."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from models import Model, load_model
from models.card import CARD_NAME
from scanner.detections.detection import Detection
from scanner.errors import ScanCancelledError
from scanner.exports.geojson import write_regions
from scanner.files.run_report import domain_warning
from scanner.inference.progress import Progress
from scanner.result import ScanResult
from scanner.scanning import scan
from scanner.settings import ScanSettings
from scanner.slides import Slide
from scanner.slides.metadata.contents import name_images, others_to_scan
from scanner.survey.opening import open_for
from service.jobs import lifecycle
from service.jobs.catalog import Catalog, UnknownModelError, read_entry
from service.jobs.lifecycle import Job, JobProgress, JobState
from service.jobs.store import Store
from service.results.results import REGIONS, Answer
from service.settings import Settings
from service.slides_in.region import write_mask
from service.slides_in.server_paths import SourceNotFoundError, fingerprint
from service.slides_in.store_slide import check_size

#: Seconds between two checks for cancelling, and between two records of progress.
CHECK_INTERVAL = 0.25
#: Stages of a scan that run.json times; reading and the network overlap.
STAGES = ("read", "net", "post", "total")


class Stop(StrEnum):
    """Why a scan stops early."""

    CANCEL = "cancel"  # its client asked for it
    SHUTDOWN = "shutdown"  # its worker stops, another will resume it
    TIMEOUT = "timeout"  # it took too long
    TAKEN = "taken"  # this worker counted as dead, and another runs the job


class ScanStoppedError(Exception):
    """A scan stopped early."""

    def __init__(self, why: Stop) -> None:
        super().__init__(why)
        self.why = why


class ScanMonitor:
    """Checks between tiles whether the scan should stop, and records its progress."""

    def __init__(self, store: Store, job: Job, *, timeout_s: float) -> None:
        self.job = job
        self.why: Stop | None = None
        self._store = store
        self._deadline = time.monotonic() + timeout_s
        self._next_check = 0.0
        self._next_note = 0.0
        self._overdue_since: float | None = None

    def stop(self, why: Stop) -> None:
        """Stop the scan at its next tile."""
        self.why = self.why or why

    def should_stop(self) -> bool:
        """True if the scan should stop; scan() calls this between tiles."""
        now = time.monotonic()
        if self.why is None and now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL
            self.why = self._reason(now)
        return self.why is not None

    def on_progress(self, progress: Progress) -> None:
        """Record the progress; scan() calls this between tiles."""
        now = time.monotonic()
        # The stages after the last tile report the same count of tiles again and again.
        is_last_tile = progress.tiles_done == progress.tiles_total and not progress.is_after_network
        if now < self._next_note and not is_last_tile:
            return
        self._next_note = now + CHECK_INTERVAL
        noted = JobProgress(**{field.name: getattr(progress, field.name) for field in fields(JobProgress)})
        try:
            self._store.update(self.job.id, lambda job: lifecycle.advance(job, noted) if self._is_ours(job) else job)
        except (lifecycle.TransitionError, LookupError):
            self._next_check = 0.0

    def is_overdue(self, grace_s: float) -> bool:
        """True if the scan should have stopped `grace_s` ago and has not."""
        now = time.monotonic()
        self.why = self.why or self._reason(now)
        if self.why is not None and self._overdue_since is None:
            self._overdue_since = now
        return self._overdue_since is not None and now - self._overdue_since > grace_s

    def _reason(self, now: float) -> Stop | None:
        if now > self._deadline:
            return Stop.TIMEOUT
        try:
            job = self._store.get(self.job.id)
        except LookupError:
            return Stop.CANCEL
        if not self._is_ours(job):
            return Stop.TAKEN
        return Stop.CANCEL if job.cancel_requested else None

    def _is_ours(self, job: Job) -> bool:
        return job.state is JobState.RUNNING and (job.worker, job.attempt) == (self.job.worker, self.job.attempt)


@dataclass(frozen=True)
class Scanned:
    """A completed scan, its files written."""

    answer: Answer
    #: Seconds of each of STAGES.
    stage_seconds: dict[str, float]


def run_scan(job: Job, work: Path, *, settings: Settings, catalog: Catalog, monitor: ScanMonitor) -> Scanned:
    """Scan for `job` into the folder `work`; ScanStoppedError if the monitor ended it."""
    request = job.request
    model = _find_model(job, catalog)
    path = _find_slide(job, settings)
    try:
        with open_for(path, model.card, ScanSettings(mpp=request.mpp, image=request.image)) as slide:
            check_size(slide.levels[0].width, slide.levels[0].height, settings)  # Not every header has the size.
            result = scan(
                slide,
                model,
                work,
                on_progress=monitor.on_progress,
                should_stop=monitor.should_stop,
                threshold=request.threshold,
                stride=request.stride,
                mpp=request.mpp,
                image=request.image,
                keep_ink=request.keep_ink,
                precision=request.precision,
                exports=request.exports,
                mask=write_mask(work, request.region, origin=slide.origin),
                name="",  # Jobs with other names share the result: each gets its own when it is asked for.
                device=settings.device,
                gpu_form=settings.gpu_form,
            )
            said = warn_of_images(slide, request.image)
            answer = replace(answer_from_result(result, warnings=said), origin=slide.origin)
            write_regions(work / REGIONS, result)
            result.map.close()  # Before the folder with the map's values is renamed.
    except ScanCancelledError as error:
        raise ScanStoppedError(monitor.why or Stop.CANCEL) from error
    timing = result.report["timing"]
    return Scanned(answer, {stage: timing[stage] for stage in STAGES})


def warn_of_images(slide: Slide, wanted: int | None) -> list[str]:
    """Warnings about other images in the file, if none was chosen, and about parts that were left out."""
    others = others_to_scan(slide.images, slide.image) if wanted is None else ()
    said = [f"Left out of the file: {note}." for note in slide.notes]
    if others:
        first = f"The file holds {len(others) + 1} images; image {slide.image.index} was scanned"
        said.append(f"{first}, not {name_images(others)}. Pass image to choose.")
    return said


def answer_from_result(result: ScanResult, *, warnings: Sequence[str] = ()) -> Answer:
    """The result as the API returns it: rows and columns become y and x."""
    frame, report = result.frame, result.report
    warnings = [*warnings]
    if report["mpp_source"] == "assumed":
        warnings.append(
            f"The image does not state its resolution: {report['mpp']} um/px, that of the model, was assumed. "
            "Pass mpp if that is wrong."
        )
    if said := domain_warning(report):
        warnings.append(f"{said[0].upper()}{said[1:]}.")
    return Answer(
        model=report["model"],
        image={
            "width": frame.level0_width,
            "height": frame.level0_height,
            "mpp": report["mpp"],
            "mpp_source": report["mpp_source"],
            "index": report["slide"]["image"],
            "images": report["slide"]["images"],
        },
        count=report["count"],
        threshold=report["settings"]["threshold"],
        candidate_floor=report["settings"]["candidate_floor"],
        candidates=[candidate_from_detection(detection) for detection in result.candidates],
        hotspots=report["hotspots"],
        area_mm2=report["area_mm2"],
        warnings=warnings,
    )


def candidate_from_detection(detection: Detection) -> dict[str, Any]:
    """A candidate as the API returns it."""
    return {
        "id": detection.id,
        "x": detection.col,
        "y": detection.row,
        "x_um": detection.col_um,
        "y_um": detection.row_um,
        "score": detection.score,
        "label": detection.label,
        "border": detection.border,
    }


def _find_slide(job: Job, settings: Settings) -> Path:
    """Path of the slide. A file in a folder of the server must not have changed since the job was submitted."""
    path = settings.data.resolve() / job.request.slide  # An absolute path replaces the data folder.
    if Path(job.request.slide).is_absolute():
        try:
            is_same = fingerprint(path) == job.request.slide_sha256
        except OSError as error:
            raise SourceNotFoundError("the slide file no longer exists") from error
        if not is_same:
            raise SourceNotFoundError("the slide file has changed since the job was submitted")
    return path


def _find_model(job: Job, catalog: Catalog) -> Model:
    entry = catalog.find(job.request.model)
    # The card may have changed since the worker started.
    now = read_entry(entry.folder / CARD_NAME)
    asked = (job.request.model_sha256, job.request.card_sha256 or now.card_sha256)
    if (now.sha256, now.card_sha256) != asked:
        raise UnknownModelError(f"model {entry.name!r} has changed since the job was submitted")
    return _load(entry.folder, asked)


@lru_cache(maxsize=4)
def _load(folder: Path, _checksums: tuple[str, str]) -> Model:
    return load_model(folder)
