"""The map of a slide: the network over its tiles, those left out that an unfinished scan has scored already."""

from __future__ import annotations

from itertools import chain, islice, tee

from scanner.devices.device_queue import StageSeconds
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, halve_tile, map_side, plan_tiles
from scanner.inference.cropping import crop_to_tissue, paste_back
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import ScanProgress
from scanner.inference.scan_identity import plan_of_map
from scanner.inference.tile_loop import score_tiles
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.store import MapStore
from scanner.maps.unfinished import UnfinishedScan


def score_slide(
    prepared: PreparedSlide, unfinished: UnfinishedScan, progress: ScanProgress, seconds: StageSeconds
) -> tuple[ProbabilityMap, tuple[Box, ...]]:
    """Run the network over the tissue; returns the map, and the map boxes that could not be read.

    Tiles that an earlier, unfinished scan with the same plan has left are not scored again.
    """
    store, tiles = open_store(prepared, unfinished), tiles_to_scan(prepared)
    score_missing(prepared, store, tiles, progress, seconds)
    unreadable = [box for tile in tiles for box in store.done[tile.index]]
    return ProbabilityMap(store), tuple(unreadable)


def open_store(prepared: PreparedSlide, unfinished: UnfinishedScan) -> MapStore:
    """The slide's unfinished map, or an empty one."""
    chunk_side = map_side(prepared.tile_side, prepared.frame.stride)
    return unfinished.resume(prepared.frame, chunk_side=chunk_side, plan=plan_of_map(prepared))


def score_missing(
    prepared: PreparedSlide, store: MapStore, tiles: list[Tile], progress: ScanProgress, seconds: StageSeconds
) -> None:
    """Run the network over those of `tiles` that the store does not hold yet; they are safe then."""
    survey = prepared.survey
    store.recall(tiles)
    progress.plan(tiles, scored=[tile for tile in tiles if tile.index in store.done])
    missing = [tile for tile in tiles if tile.index not in store.done]
    cropped, ahead = tee(parts_to_scan(prepared, tile) for tile in missing)
    scored_parts = score_tiles(
        prepared.scorer,
        survey.grid.read,
        chain.from_iterable(ahead),
        batch_size=prepared.settings.batch_size,
        workers=prepared.readers,
        seconds=seconds,
    )
    try:
        for tile, parts in zip(missing, cropped, strict=True):
            laid, lost = list[tuple[FloatMap, Box]](), list[Box]()
            for scored in islice(scored_parts, len(parts)):
                progress.stop_if_asked()
                part, values = scored.tile.write, scored.values
                if values is None:
                    values, unreadable = score_readable(prepared, scored.tile, seconds)
                    lost += unreadable
                # What a part covers beyond the tissue is not scanned: the map must not depend on where tiles end.
                laid.append((values * survey.tissue.values_for(part), part))
            store.write(tile, paste_back(laid, tile.write, layers=store.layers), lost)
            progress.tile_scored(tile)
    finally:
        store.sync()


def tiles_to_scan(prepared: PreparedSlide) -> list[Tile]:
    """The tiles that hold tissue."""
    tiles = plan_tiles(prepared.frame, prepared.scorer.context_px, prepared.tile_side)
    return [tile for tile in tiles if prepared.survey.tissue.any_in(tile.write)]


def parts_to_scan(prepared: PreparedSlide, tile: Tile) -> list[Tile]:
    """The parts of such a tile that are read and scored."""
    scorer = prepared.scorer
    return crop_to_tissue(tile, prepared.survey.tissue, context_px=scorer.context_px, alignment=scorer.alignment)


def score_readable(prepared: PreparedSlide, tile: Tile, seconds: StageSeconds) -> tuple[FloatMap, list[Box]]:
    """A tile of which some pixels cannot be read, in halves of halves; returns its values and the cells that are lost.

    What can be read is scored in as large pieces as may be; a cell that cannot is given up.
    """
    stride, context_px, layers = prepared.frame.stride, prepared.scorer.context_px, len(prepared.model.card.mapped)
    laid, lost, unread = list[tuple[FloatMap, Box]](), list[Box](), [tile]
    while unread:
        halved = [(one, halve_tile(one, stride, context_px)) for one in unread]
        lost += [one.write for one, halves in halved if not halves]
        halves, unread = [half for _, halves in halved for half in halves], []
        for scored in score_tiles(
            prepared.scorer, prepared.survey.grid.read, halves, workers=prepared.readers, seconds=seconds
        ):
            if scored.values is None:
                unread.append(scored.tile)
            else:
                laid.append((scored.values, scored.tile.write))
    return paste_back(laid, tile.write, layers=layers), sorted(lost)
