"""The map of a slide: the network over its tiles, those left out that an unfinished scan has scored already."""

from __future__ import annotations

import numpy as np

from scanner.errors import ScanCancelledError
from scanner.exports.report import plan_of_map
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile, map_side, plan_tiles, split_tile
from scanner.inference.cropping import narrow, widen
from scanner.inference.stages import Stages
from scanner.inference.tally import Tally
from scanner.inference.tile_loop import score_tiles
from scanner.maps.store import FloatMap, MapStore, ProbabilityMap
from scanner.maps.unfinished import UnfinishedScan
from scanner.result import PreparedSlide, Progress, Watch


def score_slide(
    prepared: PreparedSlide, unfinished: UnfinishedScan, watch: Watch
) -> tuple[ProbabilityMap, tuple[Box, ...], Stages]:
    """Run the network over the tissue; returns the map, the map boxes that could not be read, and what comes next.

    Tiles that an earlier, unfinished scan with the same plan has left are not scored again.
    """
    store, tiles = open_store(prepared, unfinished), tiles_to_scan(prepared)
    scanned = score_missing(prepared, store, tiles, watch)
    unreadable = [box for tile in tiles for box in store.done[tile.index]]
    probability_map = ProbabilityMap(store)
    stages = Stages(watch, prepared.slide.path.name, scanned, folder=store.folder)
    stages.watch(probability_map)
    return probability_map, tuple(unreadable), stages


def open_store(prepared: PreparedSlide, unfinished: UnfinishedScan) -> MapStore:
    """The slide's unfinished map, or an empty one."""
    side = prepared.tile_side
    chunk_side, plan = map_side(side, prepared.frame.stride), plan_of_map(prepared, side)
    return unfinished.resume(prepared.frame, chunk_side=chunk_side, plan=plan)


def score_missing(prepared: PreparedSlide, store: MapStore, tiles: list[Tile], watch: Watch) -> Progress:
    """Run the network over those of `tiles` that the store does not hold yet; they are safe then."""
    tissue, settings = prepared.tissue, prepared.settings
    tally = Tally(tissue, tiles)
    store.recall(tiles)
    for tile in tiles:
        if tile.index in store.done:
            tally.add(tile)
    missing = {tile.index: tile for tile in tiles if tile.index not in store.done}
    parts = (
        narrow(tile, tissue, seen=prepared.scorer.seen, alignment=prepared.scorer.alignment)
        for tile in missing.values()
    )
    try:
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
    finally:
        store.sync()
    return tally.progress


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
