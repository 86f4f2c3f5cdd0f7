"""The map of a slide: the network over its tiles, those left out that an unfinished scan has scored already."""

from __future__ import annotations

import numpy as np

from scanner.devices.device_queue import StageSeconds
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, map_side, plan_tiles, split_tile
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
    survey, scorer = prepared.survey, prepared.scorer
    store.recall(tiles)
    progress.plan(tiles, scored=[tile for tile in tiles if tile.index in store.done])
    missing = {tile.index: tile for tile in tiles if tile.index not in store.done}
    parts = (
        crop_to_tissue(tile, survey.tissue, context_px=scorer.context_px, alignment=scorer.alignment)
        for tile in missing.values()
    )
    batch_size, workers = prepared.settings.batch_size, prepared.readers
    scored_tiles = score_tiles(scorer, survey.grid.read, parts, batch_size=batch_size, workers=workers, seconds=seconds)
    try:
        for scored in scored_tiles:
            progress.stop_if_asked()
            values, lost = scored.values, list[Box]()
            if values is None:
                values, lost = score_cells(prepared, scored.tile, seconds)
            tile, part = missing[scored.tile.index], scored.tile.write
            # What a tile covers beyond the tissue is not scanned: the map must not depend on where tiles end.
            store.write(tile, paste_back(values * survey.tissue.values_for(part), part, tile.write), lost)
            progress.tile_scored(tile)
    finally:
        store.sync()


def tiles_to_scan(prepared: PreparedSlide) -> list[Tile]:
    """The tiles that hold tissue."""
    tiles = plan_tiles(prepared.frame, prepared.scorer.context_px, prepared.tile_side)
    return [tile for tile in tiles if prepared.survey.tissue.any_in(tile.write)]


def score_cells(prepared: PreparedSlide, tile: Tile, seconds: StageSeconds) -> tuple[FloatMap, list[Box]]:
    """A tile of which some pixels cannot be read, cell by cell; returns its values and the cells that are lost."""
    values = np.zeros((len(prepared.model.card.mapped), tile.write.height, tile.write.width), np.float32)
    cells = split_tile(tile, prepared.frame.stride, prepared.scorer.context_px)
    lost = []
    for scored in score_tiles(
        prepared.scorer, prepared.survey.grid.read, cells, workers=prepared.readers, seconds=seconds
    ):
        box = scored.tile.write
        if scored.values is None:
            lost.append(box)
        else:
            values[:, *box.shifted(-tile.write.top, -tile.write.left).slices()] = scored.values
    return values, lost
