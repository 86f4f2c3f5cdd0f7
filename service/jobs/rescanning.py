"""Rescans: a new job for a region of the slide of an earlier one, without a new upload."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from scanner.errors import ScannerError
from scanner.geometry.frames import Frame
from scanner.survey.masks import holds_cell
from scanner.survey.tissue import CELL_UM
from service.jobs.backend import JobBackend
from service.jobs.lifecycle import Job, JobOptions, ScanRequest
from service.jobs.submission import add_job
from service.problems import ReportedError
from service.results.results import NotFinishedError
from service.results.viewer_tiles import SlideChangedError
from service.settings import Settings
from service.slides_in.region import BadRegionError, Region
from service.slides_in.server_paths import SourceNotFoundError, find_path

Value = TypeVar("Value")


@dataclass(frozen=True)
class RescanChoices:
    """What of the slide is scanned again, and how; None means as the earlier job did."""

    region: Region
    model: str | None = None
    threshold: float | None = None
    stride: int | None = None


class SlideGoneError(ReportedError):
    """The slide of a job has been removed."""

    problem_type = "slide-gone"


def rescan(backend: JobBackend, job: Job, choices: RescanChoices, *, key: str | None) -> Job:
    """A new job of the same group, name and case, for a region of the slide of `job`.

    It has the model and the settings of `job` where none are chosen; with another model, that model's own. Priority,
    time limit, webhook, exports and deliveries are those of a request that asks for none.
    """
    entry = backend.catalog.find(choices.model or job.request.model)
    is_same_model = entry.name == job.request.model
    request = replace(
        job.request,
        model=entry.name,
        model_sha256=entry.sha256,
        card_sha256=entry.card_sha256,
        threshold=_chosen(choices.threshold, job.request.threshold if is_same_model else None),
        stride=_chosen(choices.stride, job.request.stride if is_same_model else None),
        exports=(),
        region=choices.region,
    )
    options = JobOptions(case=job.options.case, rescan_of=job.id)
    # Of the same group, also if an admin of another asks for it.
    return add_job(backend, Job(uuid.uuid4().hex, request, job.client, time.time(), options, idempotency_key=key))


def require_slide(request: ScanRequest, settings: Settings) -> None:
    """Raise unless the slide of a request is here, and the one that was sent.

    Raises
    ------
    NotFinishedError
        It is still to be fetched, or could not be.
    SlideGoneError, SlideChangedError
        It has been removed, or is a file of the server that is another one now.
    """
    if not request.slide:
        raise NotFinishedError("the slide has not been fetched")
    if Path(request.slide).is_absolute():
        _require_file(request, settings)
        return
    path = settings.data.resolve() / request.slide
    try:
        os.utime(path.parent)  # Keeps the cleaning from removing an old upload at the moment when a job refers to it.
        path.stat()
    except FileNotFoundError as error:
        raise SlideGoneError("the slide has been removed: submit it again") from error


def require_cells(region: Region, *, width: int, height: int, mpp: float) -> None:
    """Raise BadRegionError unless a scan of that region looks at any cell of a slide of that size."""
    frame = Frame(height, width, level0_mpp=mpp, grid_mpp=mpp, stride=1)
    if not holds_cell(np.array([(y, x) for x, y in region]), frame):
        raise BadRegionError(
            f"region: too small: it holds the centre of no cell of {max(CELL_UM, mpp):g} um, by which tissue is found; "
            f"draw one of at least {2 * max(CELL_UM, mpp) / mpp:.0f} px a side"
        )


def _require_file(request: ScanRequest, settings: Settings) -> None:
    try:
        found = find_path(request.slide, settings)
    except SourceNotFoundError as error:
        raise SlideGoneError("the slide file no longer exists: submit another one") from error
    except ScannerError as error:
        raise SlideChangedError("the slide has changed since it was submitted, and is none any more") from error
    if found.sha256 != request.slide_sha256:
        raise SlideChangedError("the slide has changed since it was submitted: submit it again")


def _chosen(choice: Value | None, default: Value | None) -> Value | None:
    return default if choice is None else choice
