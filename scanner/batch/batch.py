"""Many slides: what is already done, and a loop that no bad slide stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from models.registry import Model
from scanner.batch.last_defence import guarded, or_failure, place_of, record
from scanner.batch.outcomes import Outcome, Status, Watcher, assumed_mpp, begin_batch
from scanner.batch.worklist import Job
from scanner.devices.device import choose_device
from scanner.devices.device_queue import StageSeconds
from scanner.errors import OutputExistsError, SettingsError
from scanner.files.result_names import REPORT_NAME
from scanner.files.run_report import as_written
from scanner.inference.prepared_slide import PreparedSlide, prepare_network
from scanner.inference.progress import OnProgress
from scanner.inference.scan_identity import asked_for
from scanner.inference.scorer import Scorer
from scanner.maps.unfinished import remove_leftovers
from scanner.scanning import prepare_slide, scan_prepared, survey_for_scan
from scanner.settings import ScanSettings, SettingsKeywords
from scanner.slides import Slide
from scanner.survey.opening import open_for
from scanner.survey.survey import Survey


def scan_batch(jobs: Sequence[Job], order: BatchOrder, out: Path, *, watcher: Watcher | None = None) -> list[Outcome]:
    """Scan every slide; one that fails is recorded and the next one begins.

    Parameters
    ----------
    jobs : sequence of Job
    order : BatchOrder
    out : Path
        Folder of the batch; batch.json in it is rewritten after every slide.
    watcher : Watcher, optional

    Returns
    -------
    list of Outcome
        In the order of `jobs`.

    Raises
    ------
    UnavailableError
        This machine has no such device, or it has no such precision.
    """
    watcher = guarded(watcher)
    settings = begin_batch(out, order.keywords)
    choose_device(settings.device, precision=settings.precision)
    outcomes: list[Outcome] = []
    with closing(_begun_ahead(jobs, lambda job: begin_job(job, order))) as begun:
        for job, begin in begun:
            watcher.on_start(job)
            outcome = finish_job(job, order, out, begin=begin, on_progress=partial(watcher.on_progress, job))
            outcomes.append(outcome)
            record(out, outcomes, total=len(jobs))
            watcher.on_outcome(job, outcome)
    return outcomes


@dataclass(frozen=True)
class BatchOrder:
    """What is asked for every slide of a batch."""

    model: Model
    #: Fields of ScanSettings.
    keywords: SettingsKeywords
    #: Scan again what is there already, instead of skipping it.
    overwrite: bool = False

    @cached_property
    def scorer(self) -> Scorer:
        """The network, prepared once for all slides, when it is first asked for: its time is in no slide's `total`."""
        return prepare_network(self.model, ScanSettings(**self.keywords))

    def settings_of(self, job: Job) -> ScanSettings:
        """The settings of one slide: a manifest may have some for it alone."""
        own: Any = {"mpp": job.mpp, "mask": job.mask, "image": job.image}
        return ScanSettings(**{**self.keywords, **{key: value for key, value in own.items() if value is not None}})

    def prepare(self, begun: Begun) -> PreparedSlide:
        """Make the network ready for a slide that is open."""
        return prepare_slide(begun.slide, self.model, begun.settings, begun.survey, scorer=self.scorer)


@dataclass(frozen=True)
class Begun:
    """A slide that is open, and needs only the network."""

    slide: Slide
    settings: ScanSettings
    survey: Survey


#: An open slide, or the report of one that is done.
_Begun = Begun | dict[str, Any]
_BegunAhead = Generator[tuple[Job, Callable[[], _Begun]]]


def begin_job(job: Job, order: BatchOrder) -> _Begun:
    """Open and survey a slide; or the report of its scan, if that is done."""
    if job.fault:
        raise SettingsError(job.fault)
    report = None if order.overwrite else finished_report(job, order.model, order.settings_of(job))
    return open_job(job, order) if report is None else report


def open_job(job: Job, order: BatchOrder) -> Begun:
    """Open and survey a slide."""
    settings = order.settings_of(job)
    slide = open_for(job.slide, order.model.card, settings)
    try:
        return Begun(slide, settings, survey_for_scan(slide, order.model.card, settings))
    except BaseException:
        slide.close()
        raise


def finish_job(
    job: Job, order: BatchOrder, out: Path, *, begin: Callable[[], _Begun], on_progress: OnProgress | None = None
) -> Outcome:
    """Scan a slide that `begin` opens, into its folder below `out`; whatever goes wrong is an outcome."""

    def finish() -> Outcome:
        begun = begin()
        if isinstance(begun, dict):
            return skip_job(job, out, begun)
        with begun.slide:
            prepared = order.prepare(begun)
            return scan_job(job, out, prepared, on_progress=on_progress)

    return or_failure(job, out, finish)


def skip_job(job: Job, out: Path, report: dict[str, Any]) -> Outcome:
    """The outcome of a slide that was done before."""
    remove_leftovers(job.folder, report["asked_for"])
    return _outcome(job, out, Status.SKIPPED, report)


def scan_job(
    job: Job,
    out: Path,
    prepared: PreparedSlide,
    *,
    on_progress: OnProgress | None = None,
    seconds: StageSeconds | None = None,
) -> Outcome:
    """Scan a prepared slide into its folder; `seconds` is what other hosts have spent on its map already."""
    result = scan_prepared(prepared, job.folder, on_progress=on_progress, seconds=seconds)
    result.map.close()
    return _outcome(job, out, Status.OK, result.report)


def _begun_ahead(jobs: Sequence[Job], begin: Callable[[Job], _Begun]) -> _BegunAhead:
    """Each job with what gives its beginning; that of the next one runs while the caller works on this one."""
    ahead: list[Future[_Begun] | None] = []
    with ThreadPoolExecutor(1, thread_name_prefix="opener") as pool:
        try:
            for index, job in enumerate(jobs):
                ahead += [_submit(pool, partial(begin, job)) for job in jobs[index + len(ahead) : index + 2]]
                future = ahead.pop(0)
                yield job, partial(begin, job) if future is None else future.result
        finally:
            for future in filter(None, ahead):
                future.add_done_callback(_close_unused)


def _submit(pool: ThreadPoolExecutor, begin: Callable[[], _Begun]) -> Future[_Begun] | None:
    try:
        return pool.submit(begin)
    except RuntimeError:  # No thread is to be had now: it is begun when its turn comes.
        return None


def _close_unused(future: Future[_Begun]) -> None:
    if future.exception() is None and isinstance(begun := future.result(), Begun):
        begun.slide.close()


def finished_report(job: Job, model: Model, settings: ScanSettings) -> dict[str, Any] | None:
    """The report of a finished scan of the same file with the same model and settings; None if there is none.

    Raises
    ------
    OutputExistsError
        The folder holds another scan.
    SlideNotFoundError
        The slide has gone since.
    """
    path = job.folder / REPORT_NAME
    try:
        report: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict):
        return None
    wanted = as_written(asked_for(settings, model.card, job.slide))
    if report.get("asked_for") != wanted:
        raise OutputExistsError(f"{job.folder} holds a scan with another slide, model or settings; pass --overwrite")
    if settings.verify_places and "verification" not in report:
        return None
    return report


def _outcome(job: Job, out: Path, status: Status, report: dict[str, Any]) -> Outcome:
    seconds = report["timing"]["total"] if status is Status.OK else None
    difference = report.get("verification", {}).get("max_difference")
    place, area_mm2 = place_of(job, out), report["area_mm2"]
    areas = area_mm2["tissue"], area_mm2["unreadable"]
    classes = {one["name"]: one["area_mm2"] for one in report["classes"]} if "classes" in report else None
    found = report["count"], *areas, seconds, difference, classes
    return Outcome(str(job.slide), status, "", place, *found, image=job.image, assumed_mpp=assumed_mpp(report))
