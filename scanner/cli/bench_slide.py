"""mitoscan bench SLIDE: where the time of a whole scan goes, and what the network alone would need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.registry import Model
from scanner.dense.capabilities import describe_machine
from scanner.devices.device_queue import Pixels, StageSeconds
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import IN_FLIGHT
from scanner.inference.scoring import parts_to_scan, tiles_to_scan
from scanner.result import ScanResult
from scanner.scanning import prepare_slide, scan_prepared
from scanner.settings import ScanSettings
from scanner.slides import open_slide
from scanner.stage_clock import Spent, read_clocks


@dataclass(frozen=True)
class SlideBench:
    """A scan, and its network on the same tiles without anything else."""

    scan: Spent
    network: Spent
    result: ScanResult
    #: How the network is run, and why so.
    form: str
    tiles: int


def bench_slide(slide: Path, model: Model, settings: ScanSettings | None = None) -> SlideBench:
    """Scan a slide into a folder that is thrown away, then run the network alone.

    The network gets the pixels of one tile of each shape, read beforehand, as often as the scan had such tiles.
    """
    settings = settings or ScanSettings()
    with open_slide(slide, settings.mpp) as opened, tempfile.TemporaryDirectory() as folder:
        started = read_clocks()
        prepared = prepare_slide(opened, model, settings)
        result = scan_prepared(prepared, folder)
        scanned = read_clocks() - started
        result.map.close()
        alone, tiles = _network_alone(prepared)
    return SlideBench(scanned, alone, result, describe_form(result.report), tiles)


def lines_of_slide_bench(found: SlideBench) -> Iterator[str]:
    """The report, as markdown."""
    timing, report = found.result.report["timing"], found.result.report
    area = report["area_mm2"]["scanned"]
    yield describe_machine()
    yield ""
    yield (
        f"{report['slide']['name']}: {report['slide']['width']} x {report['slide']['height']} px, {area:.2f} mm2 in "
        f"{found.tiles} tiles, stride {found.result.frame.stride}; network {found.form}."
    )
    yield ""
    yield "| stage | seconds | share of the whole |"
    yield "|---|---|---|"
    rest = timing["total"] - timing["net"] - timing["wait"] - timing["post"]
    for name, seconds in (
        ("network", timing["net"]),
        ("device idle between tiles", timing["wait"]),
        ("smoothing and peaks", timing["post"]),
        ("tissue, stain, files, start and end", rest),
        ("whole scan", timing["total"]),
        ("reading, beside the network", timing["read"]),
    ):
        yield f"| {name} | {seconds:.2f} | {seconds / timing['total']:.0%} |"
    yield ""
    yield f"Device idle in all: {timing['idle_share']:.0%}. Speed: {area / timing['total']:.2f} mm2/s."
    yield (
        f"Network alone, same tiles: {found.network.wall:.2f} s. Scan / network alone: "
        f"{found.scan.wall / found.network.wall:.2f} by the wall clock, "
        f"{found.scan.processor / found.network.processor:.2f} by processor time."
    )


def describe_form(report: dict[str, Any]) -> str:
    """How the network ran; on a GPU, where that was measured, with the figures."""
    form = report["form"]
    ranked = sorted(form.get("seconds", {}).items(), key=lambda item: item[1])
    times = ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in ranked)
    return f"in the {form['name']} form" + (f" ({times})" if times else "")


def _network_alone(prepared: PreparedSlide) -> tuple[Spent, int]:
    """Seconds of the network for all tiles of the scan, and how many there are."""
    scorer = prepared.scorer
    pixels: dict[tuple[int, int], Pixels] = {}
    shapes = []
    for tile in tiles_to_scan(prepared):
        for part in parts_to_scan(prepared, tile):
            shape = part.read.height, part.read.width
            shapes.append(shape)
            if shape not in pixels:
                pixels[shape] = np.ascontiguousarray(prepared.survey.grid.read(part.read))
    started = read_clocks()
    with closing(scorer.open_queue(StageSeconds(), batches=len(shapes))) as queue:
        flight = []
        for shape in shapes:
            flight.append(queue.launch([pixels[shape]]))
            if len(flight) == IN_FLIGHT * queue.at_once:
                flight.pop(0).result()
        for pending in flight:
            pending.result()
    return read_clocks() - started, len(shapes)
