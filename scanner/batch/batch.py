"""Many slides on one machine: a loop that no bad slide stops; the next slide is surveyed while this one is scanned."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from models.registry import Model
from scanner.batch.finished import FinishedScan, find_finished, skip_job
from scanner.batch.last_defence import guarded, or_failure, record
from scanner.batch.outcomes import BatchCallbacks, Outcome, Status, begin_batch
from scanner.batch.worklist import Job
from scanner.devices.device import choose_device
from scanner.devices.device_queue import StageSeconds
from scanner.errors import SettingsError
from scanner.inference.prepared_slide import PreparedSlide, prepare_network
from scanner.inference.progress import OnProgress
from scanner.inference.scorer import Scorer
from scanner.scanning import prepare_slide, scan_prepared, survey_for_scan
from scanner.settings import ScanSettings, SettingsKeywords
from scanner.slides import Slide
from scanner.survey.opening import open_for
from scanner.survey.survey import Survey


def scan_batch(
    jobs: Sequence[Job], order: BatchOrder, out: Path, *, callbacks: BatchCallbacks | None = None
) -> list[Outcome]:
    """Scan every slide; one that fails is recorded and the next one begins.

    Parameters
    ----------
    jobs : sequence of Job
    order : BatchOrder
    out : Path
        Folder of the batch; batch.json in it is rewritten after every slide.
    callbacks : BatchCallbacks, optional

    Returns
    -------
    list of Outcome
        In the order of `jobs`.

    Raises
    ------
    UnavailableError
        This machine has no such device, or it has no such precision.
    """
    callbacks = guarded(callbacks)
    settings = begin_batch(out, order.keywords)
    choose_device(settings.device, precision=settings.precision)
    outcomes: list[Outcome] = []
    with closing(_prefetch_surveys(jobs, lambda job: survey_or_skip(job, order))) as surveys:
        for job, survey in surveys:
            callbacks.on_start(job)
            outcome = finish_job(job, order, out, survey=survey, on_progress=partial(callbacks.on_progress, job))
            outcomes.append(outcome)
            record(out, outcomes, total=len(jobs))
            callbacks.on_outcome(job, outcome)
    return outcomes


@dataclass(frozen=True)
class BatchOrder:
    """Model and settings of a batch."""

    model: Model
    #: Fields of ScanSettings.
    keywords: SettingsKeywords
    #: Scan again what is there already, instead of skipping it.
    overwrite: bool = False

    @cached_property
    def scorer(self) -> Scorer:
        """The network, prepared once for all slides on first use: its time is in no slide's `total`."""
        return prepare_network(self.model, ScanSettings(**self.keywords))

    def settings_of(self, job: Job) -> ScanSettings:
        """The settings of one slide: a manifest may have some for it alone."""
        own: Any = {"mpp": job.mpp, "mask": job.mask, "image": job.image}
        return ScanSettings(**{**self.keywords, **{key: value for key, value in own.items() if value is not None}})

    def prepare(self, surveyed: SurveyedSlide) -> PreparedSlide:
        """Make the network ready for a slide that is open."""
        return prepare_slide(surveyed.slide, self.model, surveyed.settings, surveyed.survey, scorer=self.scorer)


@dataclass(frozen=True)
class SurveyedSlide:
    """A slide that is open, and needs only the network."""

    slide: Slide
    settings: ScanSettings
    survey: Survey


_Surveys = Generator[tuple[Job, Callable[[], SurveyedSlide | FinishedScan]]]


def survey_or_skip(job: Job, order: BatchOrder) -> SurveyedSlide | FinishedScan:
    """Open and survey a slide, unless its scan is finished."""
    if job.fault:
        raise SettingsError(job.fault)
    finished = None if order.overwrite else find_finished(job, order.model, order.settings_of(job))
    return survey_job(job, order) if finished is None else finished


def survey_job(job: Job, order: BatchOrder) -> SurveyedSlide:
    """Open and survey a slide."""
    settings = order.settings_of(job)
    slide = open_for(job.slide, order.model.card, settings)
    try:
        return SurveyedSlide(slide, settings, survey_for_scan(slide, order.model.card, settings))
    except BaseException:
        slide.close()
        raise


def finish_job(
    job: Job,
    order: BatchOrder,
    out: Path,
    *,
    survey: Callable[[], SurveyedSlide | FinishedScan],
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Scan a slide that `survey` opens, into its folder below `out`; whatever goes wrong is an outcome."""

    def finish() -> Outcome:
        surveyed = survey()
        if isinstance(surveyed, FinishedScan):
            return skip_job(job, out, surveyed)
        with surveyed.slide:
            prepared = order.prepare(surveyed)
            return scan_job(job, out, prepared, on_progress=on_progress)

    return or_failure(job, out, finish)


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
    return FinishedScan(result.report).outcome(job, out, Status.OK)


def _prefetch_surveys(jobs: Sequence[Job], survey: Callable[[Job], SurveyedSlide | FinishedScan]) -> _Surveys:
    """Each job with what gives its survey; that of the next one runs while the caller works on this one."""
    ahead: list[Future[SurveyedSlide | FinishedScan] | None] = []
    with ThreadPoolExecutor(1, thread_name_prefix="survey") as pool:
        try:
            for index, job in enumerate(jobs):
                ahead += [_submit(pool, partial(survey, job)) for job in jobs[index + len(ahead) : index + 2]]
                future = ahead.pop(0)
                yield job, partial(survey, job) if future is None else future.result
        finally:
            for future in filter(None, ahead):
                future.add_done_callback(_close_unused)


def _submit(
    pool: ThreadPoolExecutor, survey: Callable[[], SurveyedSlide | FinishedScan]
) -> Future[SurveyedSlide | FinishedScan] | None:
    try:
        return pool.submit(survey)
    except RuntimeError:  # No thread can be started now: the slide is surveyed when its turn comes.
        return None


def _close_unused(future: Future[SurveyedSlide | FinishedScan]) -> None:
    if future.exception() is None and isinstance(surveyed := future.result(), SurveyedSlide):
        surveyed.slide.close()
