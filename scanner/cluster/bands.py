"""Bands: a slide's tiles in runs, so that many processes can scan one slide into one map.

Which process scores a band, and when, changes no byte: a tile is a chunk of the map, written by one process, and the
scan is finished from the whole map.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from scanner.devices.device_queue import StageSeconds
from scanner.geometry.tiles import Tile
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import OnProgress, Progress, ScanProgress, planned
from scanner.inference.resuming import resume_plan
from scanner.inference.scoring import open_store, score_missing, tiles_to_scan
from scanner.maps.unfinished import UnfinishedScan

#: Tiles in a band, and, on a processor, the grid px that they cover: seconds of work for a GPU, about a minute of one.
BAND_TILES, BAND_PX = 128, 1 << 27


def plan_bands(prepared: PreparedSlide) -> list[list[Tile]]:
    """The tiles that hold tissue, in runs of nearly equal length, each at most a band's."""
    tiles, is_gpu = tiles_to_scan(prepared), prepared.scorer.device.type == "cuda"
    most = BAND_TILES if is_gpu else max(1, min(BAND_TILES, BAND_PX // prepared.tile_side**2))
    count = -(-len(tiles) // most)
    edges = [index * len(tiles) // count for index in range(count + 1)] if count else [0]
    return [tiles[first:last] for first, last in pairwise(edges)]


def prepare_bands(prepared: PreparedSlide, results: Path) -> list[Progress]:
    """Create the map for all bands, in the folder of the slide's results; returns the work in each.

    Raises
    ------
    OutputError
        The folder cannot be written.
    OutputExistsError
        Another scan is writing there.
    """
    with UnfinishedScan.open(results) as unfinished:
        prepared = resume_plan(prepared, unfinished.plan)
        open_store(prepared, unfinished)
    return [planned(prepared.survey.tissue, band) for band in plan_bands(prepared)]


def score_band(prepared: PreparedSlide, results: Path, band: int, on_progress: OnProgress) -> StageSeconds:
    """Run the network over one band, into the map that `prepare_bands` has made; tiles that are there are left alone.

    Returns
    -------
    StageSeconds
        What it took.

    Raises
    ------
    OutputError
        The folder cannot be written.
    OutputExistsError
        Another process holds this band, or the folder.
    """
    with UnfinishedScan.open(results, band=band) as unfinished:
        prepared = resume_plan(prepared, unfinished.plan)
        store = open_store(prepared, unfinished)
        seconds = StageSeconds()
        progress = ScanProgress(prepared.slide.path.name, prepared.survey.tissue, on_progress=on_progress)
        score_missing(prepared, store, plan_bands(prepared)[band], progress, seconds)
        return seconds
