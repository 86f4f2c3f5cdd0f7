"""scan: one slide, the whole story on one page.

Open the slide, find its tissue, measure its stain, plan tiles, run the dense net over them into a probability map,
smooth the map, take its peaks as detections, find the hotspot, write the files. A segmentation has the class of every
position instead of detections.

(The file is not called scan.py because `scanner.scan` is the function.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from models.card import ModelCard
from models.registry import Model
from scanner.background import measure_background, raw_floor, take_off
from scanner.brightfield import refuse_other_stains
from scanner.candidates import find_candidates
from scanner.coarse_to_fine import coarse_to_fine
from scanner.detections import above_threshold
from scanner.devices import choose_device
from scanner.errors import ResolutionError, ScanCancelledError
from scanner.exports.files import check_exports, write_results
from scanner.exports.overview import is_soon_read, read_backdrop
from scanner.geometry import Box, plan_frame
from scanner.hotspots import find_hotspots
from scanner.map_store import FloatMap, MapStore, ProbabilityMap, WorkFolder
from scanner.masks import find_mask, restrict
from scanner.memory import choose_tile_side
from scanner.narrowing import narrow, widen
from scanner.probability import prepare_scorer
from scanner.report import describe_result, end_earlier_scan, finish_report, plan_of_map
from scanner.result import OnProgress, PreparedSlide, ScanResult, ShouldStop, Survey, Watch
from scanner.resuming import as_begun
from scanner.second_look import look_again
from scanner.segmentation import segment
from scanner.settings import ScanSettings, SettingsKeywords, scan_stride
from scanner.slides import Slide, open_slide
from scanner.slides.grid import Grid
from scanner.slides.opening import expect_channels
from scanner.slides.protocol import RGB
from scanner.statistics import measure_slide, sample_blocks
from scanner.tally import Tally
from scanner.tile_loop import score_tiles
from scanner.tiles import Tile, map_side, plan_tiles, split_tile
from scanner.tissue import find_tissue, full_tissue
from scanner.verify import verify_tiling
from scanner.windows import window_from_text

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
        Called with a Progress after every tile.
    should_stop : callable, optional
        Asked before every tile; True ends the scan with ScanCancelledError.
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
    with WorkFolder(results) as work, ThreadPoolExecutor(1, thread_name_prefix="overview") as beside:
        is_drawn_ahead = results is not None and is_soon_read(prepared.slide, prepared.frame)
        backdrop = beside.submit(read_backdrop, prepared.slide, prepared.frame) if is_drawn_ahead else None
        watch = Watch(on_progress or (lambda _: None), should_stop or (lambda: False))
        prepared = as_begun(prepared, work)
        probability_map, unreadable = score_slide(prepared, work, watch)
        result = find_figures(prepared, probability_map, unreadable)
        if places:
            result = replace(result, verification=verify_tiling(prepared, probability_map, places=places))
        result = replace(result, report=describe_result(prepared, result))
        if results is not None:
            end_earlier_scan(results)
            write_results(results, result, prepared, backdrop=backdrop)
        return finish_report(prepared, result, total_seconds=time.perf_counter() - started, folder=results)


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
    tissue = find_tissue(slide, frame) if settings.tissue and reads_colour else full_tissue(frame)
    # On all tissue, so that a mask changes where is scanned and nothing of what is found there.
    whole_tissue, sample = tissue, tuple(sample_blocks(tissue))
    statistics = measure_slide(grid, sample, card.normalisation)
    if settings.mask is not None:
        tissue = restrict(tissue, find_mask(settings.mask, slide.path), origin=slide.origin)
    return Survey(frame, mpp_source, grid, tissue, whole_tissue, sample, statistics, time.perf_counter() - started)


def prepare_slide(slide: Slide, model: Model, settings: ScanSettings, survey: Survey | None = None) -> PreparedSlide:
    """Survey the slide, unless that is done, and make the network ready for it."""
    survey = survey or survey_slide(slide, model.card, settings)
    started, frame, stain = time.perf_counter(), survey.frame, survey.statistics.stain
    scorer = prepare_scorer(
        model, stain, stride=frame.stride, device=settings.device, engine=settings.engine, precision=settings.precision
    )
    scorer = replace(scorer, slide_name=str(slide.path))
    if settings.coarse_to_fine:
        smoothing_px = model.card.smoothing_um / frame.grid_mpp
        scorer = coarse_to_fine(scorer, model, gate=settings.candidate_floor, smoothing_px=smoothing_px)
    side = choose_tile_side(scorer, settings, frame.stride)
    seconds = survey.seconds + time.perf_counter() - started
    return PreparedSlide(
        slide, model, settings, frame, survey.mpp_source, survey.grid, survey.tissue, survey.whole_tissue,
        survey.sample, survey.statistics, scorer, side, seconds,
    )  # fmt: skip


def score_slide(prepared: PreparedSlide, work: Path, watch: Watch) -> tuple[ProbabilityMap, tuple[Box, ...]]:
    """Run the network over the tissue; returns the map and the map boxes that could not be read.

    Tiles that an earlier, unfinished scan with the same plan has left in `work` are not scored again.
    """
    store = open_store(prepared, work)
    score_missing(prepared, store, tiles_to_scan(prepared), watch)
    unreadable = [box for index in sorted(store.done) for box in store.done[index]]
    return ProbabilityMap(store), tuple(unreadable)


def open_store(prepared: PreparedSlide, work: Path, *, band: int | None = None) -> MapStore:
    """The slide's unfinished map in `work`, or an empty one; `band` as in `MapStore.open`."""
    side = prepared.tile_side
    chunk_side, plan = map_side(side, prepared.frame.stride), plan_of_map(prepared, side)
    return MapStore.open(work, prepared.frame, chunk_side=chunk_side, plan=plan, band=band)


def score_missing(prepared: PreparedSlide, store: MapStore, tiles: list[Tile], watch: Watch) -> None:
    """Run the network over those of `tiles` that the store does not hold yet."""
    tissue, settings = prepared.tissue, prepared.settings
    tally = Tally(tissue, tiles)
    for tile in tiles:
        if tile.index in store.done:
            tally.add(tile)
    missing = {tile.index: tile for tile in tiles if tile.index not in store.done}
    parts = (
        narrow(tile, tissue, seen=prepared.scorer.seen, alignment=prepared.scorer.alignment)
        for tile in missing.values()
    )
    for scored in score_tiles(
        prepared.scorer, prepared.grid.read, parts, batch_size=settings.batch_size, workers=prepared.readers
    ):
        if watch.should_stop():
            name = prepared.slide.path.name
            raise ScanCancelledError(f"{name}: cancelled after {tally.tiles} of {len(tiles)} tiles")
        values, lost = (scored.values, []) if scored.values is not None else score_cells(prepared, scored.tile)
        tile, part = missing[scored.tile.index], scored.tile.write
        # What a tile covers beyond the tissue is not scanned: the map must not depend on where tiles end.
        store.write(tile, widen(values * tissue.values_for(part), part, tile.write), lost)
        watch.on_progress(tally.add(tile))


def tiles_to_scan(prepared: PreparedSlide) -> list[Tile]:
    """The tiles that hold tissue."""
    tiles = plan_tiles(prepared.frame, prepared.scorer.seen, prepared.tile_side)
    return [tile for tile in tiles if prepared.tissue.any_in(tile.write)]


def score_cells(prepared: PreparedSlide, tile: Tile) -> tuple[FloatMap, list[Box]]:
    """A tile of which some pixels cannot be read, cell by cell; returns its values and the cells that are lost."""
    values = np.zeros((len(prepared.model.card.mapped), tile.write.height, tile.write.width), np.float32)
    cells = split_tile(tile, prepared.frame.stride, prepared.scorer.seen)
    lost = []
    for scored in score_tiles(prepared.scorer, prepared.grid.read, cells, workers=prepared.readers):
        box = scored.tile.write
        if scored.values is None:
            lost.append(box)
        else:
            values[:, *box.shifted(-tile.write.top, -tile.write.left).slices()] = scored.values
    return values, lost


def find_figures(prepared: PreparedSlide, probability_map: ProbabilityMap, unreadable: tuple[Box, ...]) -> ScanResult:
    """Detections and hotspots of a finished map, or its segmentation."""
    started = time.perf_counter()
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
        candidates = above_threshold(look_again(prepared, candidates, least=least), floor)
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
    return open_slide(path, settings.mpp, channels=None if settings.any_stain and channels == RGB else channels)


@contextmanager
def _opened(slide: Slide | str | Path, card: ModelCard, settings: ScanSettings) -> Iterator[Slide]:
    """The slide itself, left open for its owner; or the slide at that path, closed in the end."""
    owned: AbstractContextManager[Slide]
    owned = open_for(slide, card, settings) if isinstance(slide, (str, Path)) else nullcontext(slide)
    with owned as opened:
        yield opened
