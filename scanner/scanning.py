"""scan: one slide, the whole story on one page.

Open the slide, find its tissue, measure its stain, plan tiles, run the dense net over them into a probability map,
smooth the map, take its peaks as detections, find the hotspot, write the files. A segmentation has the class of every
position instead of detections.

(The file is not called scan.py because `scanner.scan` is the function.)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from models.card import ModelCard
from models.registry import Model
from scanner.detections.background import measure_background, raw_floor, take_off
from scanner.detections.candidates import find_candidates
from scanner.detections.detection import above_threshold
from scanner.detections.hotspots import find_hotspots
from scanner.detections.rescoring import look_again
from scanner.devices.device import choose_device
from scanner.errors import ResolutionError
from scanner.exports.files import check_exports, write_results
from scanner.exports.overview import fits_beside_scan, read_backdrop
from scanner.exports.report import describe_result, end_earlier_scan, finish_report
from scanner.geometry.frames import Box, plan_frame
from scanner.geometry.windows import window_from_text
from scanner.inference.coarse_to_fine import coarse_to_fine
from scanner.inference.memory import choose_tile_side
from scanner.inference.resuming import as_begun
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.inference.scoring import score_slide
from scanner.inference.stages import Stage, Stages
from scanner.inference.verify import verify_tiling
from scanner.maps.segmentation import segment
from scanner.maps.store import ProbabilityMap
from scanner.maps.unfinished import UnfinishedScan
from scanner.result import OnProgress, PreparedSlide, ScanResult, ShouldStop, Survey, Watch
from scanner.settings import ScanSettings, SettingsKeywords, scan_stride
from scanner.slides import Slide
from scanner.slides.metadata.contents import further_image, warn_of_others
from scanner.slides.opening import expect_channels, open_image
from scanner.slides.pixels.grid import Grid
from scanner.slides.pixels.protocol import RGB
from scanner.survey.brightfield import refuse_other_stains
from scanner.survey.mask_files import find_mask
from scanner.survey.masks import restrict
from scanner.survey.stain import measure_slide, sample_blocks
from scanner.survey.tissue import find_tissue, full_tissue

#: A slide whose pixels are this many times larger than the model's shows no figures, only what interpolation invents.
COARSEST = 4.0


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
    """
    settings = ScanSettings(**keywords)
    choose_device(settings.device, precision=settings.precision)  # Refused before the slide is looked at.
    with _opened(slide, model.card, settings) as opened:
        prepared = prepare_slide(opened, model, settings)
        return scan_prepared(prepared, out, on_progress=on_progress, should_stop=should_stop)


def scan_prepared(
    prepared: PreparedSlide,
    out: str | Path | None = None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> ScanResult:
    """The second half of `scan`, for callers that survey one slide while another is being scanned."""
    started = time.perf_counter() - prepared.seconds
    results, places = None if out is None else Path(out), prepared.settings.verify_places
    with UnfinishedScan.open(results) as unfinished, ThreadPoolExecutor(1, thread_name_prefix="overview") as beside:
        is_drawn_ahead = results is not None and fits_beside_scan(prepared.slide, prepared.frame)
        backdrop = beside.submit(read_backdrop, prepared.slide, prepared.frame) if is_drawn_ahead else None
        watch = Watch(on_progress or (lambda _: None), should_stop or (lambda: False))
        prepared = as_begun(prepared, unfinished.plan)
        probability_map, unreadable, stages = score_slide(prepared, unfinished, watch)
        result = find_figures(prepared, probability_map, unreadable, stages)
        stages.enter(Stage.CHECKS)
        if places:
            result = replace(result, verification=verify_tiling(prepared, probability_map, places=places))
        result = replace(result, report=describe_result(prepared, result))
        stages.enter(Stage.FILES)
        if results is not None:
            end_earlier_scan(results, unfinished.folder)
            write_results(results, result, prepared, backdrop=backdrop, once=stages.files.once)
        result = finish_report(prepared, result, total_seconds=time.perf_counter() - started, folder=results)
        unfinished.commit(probability_map)
        return result


def survey_slide(slide: Slide, card: ModelCard, settings: ScanSettings) -> Survey:
    """Find the tissue, measure the stain: what a scan must know of a slide before the network runs."""
    started = time.perf_counter()
    expect_channels(slide, card.normalisation.pixel_channels)
    check_exports(settings.exports, slide)
    level0_mpp, mpp_source = resolve_mpp(slide, card)
    level0 = slide.levels[0]
    frame = plan_frame((level0.height, level0.width), level0_mpp, card.mpp, scan_stride(settings, card.stride))
    reads_colour = card.normalisation.channels == RGB
    if reads_colour and not settings.any_stain:
        refuse_other_stains(slide, frame)
    grid = Grid(slide, frame)
    # Tissue is known by its colour: what a model of other channels looks at has none.
    if settings.tissue and reads_colour:
        tissue = find_tissue(slide, frame, keep_ink=settings.keep_ink)
    else:
        tissue = full_tissue(frame)
    # On all tissue, so that a mask changes where is scanned and nothing of what is found there.
    whole_tissue, sample = tissue, tuple(sample_blocks(tissue))
    statistics = measure_slide(grid, sample, card.normalisation)
    if settings.mask is not None:
        mask = find_mask(settings.mask, slide.path, image=further_image(slide))
        tissue = restrict(tissue, mask, origin=slide.origin)
    return Survey(frame, mpp_source, grid, tissue, whole_tissue, sample, statistics, time.perf_counter() - started)


def prepare_slide(
    slide: Slide, model: Model, settings: ScanSettings, survey: Survey | None = None, *, scorer: Scorer | None = None
) -> PreparedSlide:
    """Survey the slide and prepare the model's network, unless that is done, and make the network ready for the slide.

    `scorer` is that of these settings' `prepare_network`, which serves any number of slides.
    """
    survey = survey or survey_slide(slide, model.card, settings)
    started, frame = time.perf_counter(), survey.frame
    scorer = (scorer or prepare_network(model, settings)).of_slide(str(slide.path), survey.statistics.stain)
    if settings.coarse_to_fine:
        smoothing_px = model.card.smoothing_um / frame.grid_mpp
        scorer = coarse_to_fine(scorer, model, gate=settings.candidate_floor, smoothing_px=smoothing_px)
    side = choose_tile_side(scorer, settings, frame.stride)
    seconds = survey.seconds + time.perf_counter() - started
    return PreparedSlide(
        slide, model, settings, frame, survey.mpp_source, survey.grid, survey.tissue, survey.whole_tissue,
        survey.sample, survey.statistics, scorer, side, seconds,
    )  # fmt: skip


def prepare_network(model: Model, settings: ScanSettings) -> Scorer:
    """The model's network as these settings want it, for whatever slide."""
    stride = scan_stride(settings, model.card.stride)
    return prepare_scorer(
        model, None, stride=stride, device=settings.device, engine=settings.engine, precision=settings.precision
    )


def find_figures(
    prepared: PreparedSlide, probability_map: ProbabilityMap, unreadable: tuple[Box, ...], stages: Stages
) -> ScanResult:
    """Detections and hotspots of a finished map, or its segmentation."""
    started = time.perf_counter()
    stages.enter(Stage.FIGURES)
    readable = prepared.tissue.without(unreadable)
    settings, card = prepared.settings, prepared.model.card
    if card.task == "segmentation":
        segmentation = segment(probability_map, readable, card, threshold=prepared.threshold)
        prepared.scorer.seconds.post = time.perf_counter() - started
        return ScanResult(
            (), (), (), probability_map, {}, readable, unreadable, segmentation=segmentation, mapped=card.mapped
        )
    background = measure_background(prepared, probability_map, unreadable)
    floor = raw_floor(settings.candidate_floor, background)
    candidates = find_candidates(probability_map, card, floor=floor, device=prepared.scorer.device)
    if card.second_look is not None:  # Some are found to be less than they seemed.
        least = raw_floor(card.second_look, background)
        candidates = above_threshold(look_again(prepared, candidates, stages, least=least), floor)
    candidates = take_off(candidates, background)
    detections = above_threshold(candidates, prepared.threshold)
    hotspots = find_hotspots(detections, readable, window=window_from_text(settings.hotspot), top=settings.hotspots)
    prepared.scorer.seconds.post = time.perf_counter() - started
    return ScanResult(
        detections, candidates, hotspots, probability_map, {}, readable, unreadable, background, mapped=card.mapped
    )


def resolve_mpp(slide: Slide, card: ModelCard) -> tuple[float, str]:
    """Level-0 mpp and where it comes from; a plain field that does not say is taken at the model's mpp.

    Raises
    ------
    ResolutionError
        The slide is too coarse for what the model looks for.
    """
    if slide.mpp is None:
        return card.mpp, "assumed"
    if slide.mpp > card.mpp * COARSEST:
        raise ResolutionError(
            f"{slide.path}: {slide.mpp:g} um/px is too coarse for {card.name}, which was trained at {card.mpp:g}; "
            "pass --mpp if the slide's own figure is wrong"
        )
    return slide.mpp, slide.mpp_source


def open_for(path: str | Path, card: ModelCard, settings: ScanSettings) -> Slide:
    """The slide at that path, with the channels that the model reads."""
    channels = card.normalisation.pixel_channels
    # Three channels that are no red, green and blue are scanned by models of three only if that is wanted.
    wanted = None if settings.any_stain and channels == RGB else channels
    return open_image(Path(path), settings.mpp, channels=wanted, image=settings.image)


@contextmanager
def _opened(slide: Slide | str | Path, card: ModelCard, settings: ScanSettings) -> Iterator[Slide]:
    """The slide itself, left open for its owner; or the slide at that path, closed in the end."""
    owned: AbstractContextManager[Slide]
    owned = open_for(slide, card, settings) if isinstance(slide, (str, Path)) else nullcontext(slide)
    with owned as opened:
        if owned is opened and settings.image is None and (warning := warn_of_others(opened)):
            warnings.warn(f"{warning}; pass image=", stacklevel=4)
        yield opened
