"""scan: one slide, the whole story on one page.

Open the slide, survey it (resolution, tissue, stain), run the dense net over its tissue into a probability map, find
the figures in the map, check the numbers, describe the result, write its files. Each stage is one call to one package.

(The file is not called scan.py because `scanner.scan` is the function.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from models.card import ModelCard
from models.registry import Model
from scanner.detections.figures import find_figures
from scanner.detections.kept_scores import KeptScores
from scanner.devices.device import choose_device
from scanner.devices.device_queue import StageSeconds
from scanner.exports.files import check_exports, write_results
from scanner.exports.kept_files import KeptFiles
from scanner.exports.overview import backdrop_beside
from scanner.exports.report import describe_result, end_earlier_scan, finish_report
from scanner.inference import prepared_slide
from scanner.inference.checks import check_scan
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import OnProgress, ScanProgress, ShouldStop, Stage
from scanner.inference.resuming import resume_plan
from scanner.inference.scorer import Scorer
from scanner.inference.scoring import score_slide
from scanner.maps.unfinished import UnfinishedScan
from scanner.result import ScanResult, result_of
from scanner.settings import ScanSettings, SettingsKeywords
from scanner.slides import Slide
from scanner.stage_clock import StageClock
from scanner.survey.opening import opened_for
from scanner.survey.survey import Survey, survey_slide


def scan(
    slide: Slide | str | Path,
    model: Model,
    out: str | Path | None = None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    **keywords: Unpack[SettingsKeywords],
) -> ScanResult:
    """Scan one slide.

    Parameters
    ----------
    slide : Slide or path
        A slide or a plain field.
    model : Model
        From `models.load_model`.
    out : path, optional
        Folder for the result's files; created if it is not there.
    on_progress : callable, optional
        Called with a Progress after every tile, and in the stages after the network.
    should_stop : callable, optional
        Asked before every tile and in the stages after the network; True ends the scan with ScanCancelledError.
        What was scored stays in `out`: the next scan goes on from there.
    **keywords
        Fields of ScanSettings.

    Returns
    -------
    ScanResult

    Raises
    ------
    ScannerError
        One of its kinds; the message holds the value and the way out.

    Examples
    --------
    >>> from models import load_model
    >>> from scanner import scan
    >>> model = load_model("mitosis-1")
    >>> result = scan("examples/CMU-1-Small-Region.svs", model, stride=64)  # A quick look: the model's own stride is 8.
    >>> result.report["mpp"], round(result.report["area_mm2"]["tissue"], 3)
    (0.499, 0.659)
    """
    settings = ScanSettings(**keywords)
    choose_device(settings.device, precision=settings.precision)  # Refused before the slide is looked at.
    with opened_for(slide, model.card, settings) as opened:
        prepared = prepare_slide(opened, model, settings)
        return scan_prepared(prepared, out, on_progress=on_progress, should_stop=should_stop)


def scan_prepared(
    prepared: PreparedSlide,
    out: str | Path | None = None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    seconds: StageSeconds | None = None,
) -> ScanResult:
    """The second half of `scan`, for callers that survey one slide while another is being scanned.

    `seconds` is what other hosts have spent on the slide's map already.
    """
    clock, seconds = StageClock(Stage.NETWORK, prepared.spent), seconds or StageSeconds()
    results, tissue, name = None if out is None else Path(out), prepared.survey.tissue, prepared.slide.path.name
    progress = ScanProgress(name, tissue, on_progress=on_progress, should_stop=should_stop, clock=clock)
    beside = backdrop_beside(prepared.slide, prepared.frame, is_wanted=out is not None)
    with UnfinishedScan.open(results) as unfinished, beside as backdrop:
        prepared = resume_plan(prepared, unfinished.plan)
        probability_map, unreadable = score_slide(prepared, unfinished, progress, seconds)
        progress.follow(probability_map)

        progress.enter(Stage.FIGURES)
        kept = KeptScores(unfinished.folder)
        figures = find_figures(prepared, probability_map, unreadable, kept=kept, progress=progress)

        progress.enter(Stage.CHECKS)
        checks = check_scan(prepared, probability_map)
        result = result_of(prepared, figures, checks, probability_map=probability_map, unreadable=unreadable)
        result = replace(result, report=describe_result(prepared, result))

        progress.enter(Stage.FILES)
        if results is not None:
            end_earlier_scan(results, unfinished.folder)
            write_results(results, result, prepared, backdrop=backdrop, once=KeptFiles(unfinished.folder).once)
        result = finish_report(prepared, result, seconds, spent=clock.spent(), folder=results)
        unfinished.commit(probability_map)
        return result


def survey_for_scan(slide: Slide, card: ModelCard, settings: ScanSettings) -> Survey:
    """Survey a slide, once it is clear that what the settings ask for can be made of it."""
    check_exports(settings.exports, slide)
    return survey_slide(slide, card, settings)


def prepare_slide(
    slide: Slide, model: Model, settings: ScanSettings, survey: Survey | None = None, *, scorer: Scorer | None = None
) -> PreparedSlide:
    """Survey the slide, unless that is done, and make the model's network ready for it.

    `scorer` is that of these settings' `prepare_network`, which serves any number of slides.
    """
    survey = survey or survey_for_scan(slide, model.card, settings)
    return prepared_slide.prepare_slide(slide, model, settings, survey, scorer=scorer)
