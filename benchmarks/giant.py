"""A slide of 60,000 x 60,000 px, whole and in quarters: `python -m benchmarks.giant [--side 60000] [--islands 20]`.

Mostly glass, with islands of real tissue at every scale of the pyramid: a part of the example slide, enlarged to the
model's mpp, at which the model marks nuclei in it. The whole slide is scanned by the command line
in a process of its own, whose largest resident set counts. Then the same slide, cut into quarters where there is glass,
is scanned with the stain of the whole, and count, map and areas are compared.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from benchmarks.memory import peak_of_scan
from models import Model, load_model
from models.normalisation import StainStatistics
from scanner.files.run_report import read_report
from scanner.geometry.frames import Box
from scanner.scanning import prepare_slide, scan_prepared, survey_for_scan
from scanner.settings import ScanSettings
from scanner.slides import open_slide

ROOT = Path(__file__).parent.parent
TILE, DOWNSAMPLE, LEVELS = 256, 4, 3
#: Islands lie on a lattice of this many px, so that every level's TIFF tiles, and the cut, fall on it.
CELL = TILE * DOWNSAMPLE ** (LEVELS - 1)
#: Glass around an island within its cell: more than half a patch, the smoothing and the tissue's rim.
MARGIN = 512
ISLAND = CELL - 2 * MARGIN
#: Of the example (0.5 um/px), which part is enlarged twofold to an island.
PART = (700, 350)
GLASS = (243, 241, 244)
MPP = 0.25


class Layout:
    """Which cells of the lattice hold tissue, and the tissue's pixels at every level."""

    def __init__(self, side: int, islands: int) -> None:
        self.side = side
        cells = list(product(range(side // CELL), repeat=2))
        chosen = np.random.default_rng(0).permutation(len(cells))[:islands]
        self.islands = {cells[index] for index in chosen}
        with open_slide(ROOT / "examples" / "CMU-1-Small-Region.svs") as slide:
            top, left = PART
            part = slide.read(0, (top, left, top + ISLAND // 2, left + ISLAND // 2))
        tissue = Image.fromarray(part).resize((ISLAND, ISLAND), Image.Resampling.LANCZOS)
        cell = np.full((CELL, CELL, 3), GLASS, np.uint8)
        cell[MARGIN : MARGIN + ISLAND, MARGIN : MARGIN + ISLAND] = np.asarray(tissue)
        self.cells = [cell]
        while len(self.cells) < LEVELS:
            side = len(self.cells[-1]) // DOWNSAMPLE
            means = self.cells[-1].reshape(side, DOWNSAMPLE, side, DOWNSAMPLE, 3).mean(axis=(1, 3))
            self.cells.append(means.round().astype(np.uint8))

    @cache  # noqa: B019 - one layout lives as long as the program
    def encoded(self, level: int, row: int, col: int) -> bytes:
        """The TIFF tile of an island at that tile row and column of its cell; row -1 is glass."""
        glass = np.full((TILE, TILE, 3), GLASS, np.uint8)
        box = Box(row * TILE, col * TILE, (row + 1) * TILE, (col + 1) * TILE)
        pixels = glass if row < 0 else np.ascontiguousarray(self.cells[level][box.slices()])
        encoded: bytes = imagecodecs.jpeg8_encode(
            pixels, level=80, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
        )
        return encoded

    def tiles(self, level: int, box: Box) -> Iterator[bytes]:
        """The TIFF tiles of a level of the part of the slide in `box` (level-0 px, on the lattice)."""
        step, per_cell = TILE * DOWNSAMPLE**level, CELL // (TILE * DOWNSAMPLE**level)
        for top, left in product(range(box.top, box.bottom, step), range(box.left, box.right, step)):
            if (top // CELL, left // CELL) in self.islands:
                yield self.encoded(level, top // step % per_cell, left // step % per_cell)
            else:
                yield self.encoded(level, -1, -1)


def write_part(path: Path, layout: Layout, box: Box) -> None:
    """Write a part of the slide as an Aperio pyramid, tile by tile."""
    said = f"Aperio Image Library\r\n{box.width}x{box.height} ({TILE}x{TILE})|AppMag = 40|MPP = {MPP}"
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level in range(LEVELS):
            shape = (box.height // DOWNSAMPLE**level, box.width // DOWNSAMPLE**level, 3)
            writer.write(
                layout.tiles(level, box),
                shape=shape,
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=int(level > 0),
                metadata=None,
                description=said if level == 0 else None,
            )


def quarters(side: int) -> list[Box]:
    """Four boxes, cut on the lattice near the middle."""
    cut = round(side / 2 / CELL) * CELL
    spans = [(0, cut), (cut, side)]
    return [Box(top, left, bottom, right) for (top, bottom), (left, right) in product(spans, repeat=2)]


def scan_part(path: Path, model: Model, out: Path, stride: int, stain: StainStatistics | None) -> dict[str, object]:
    """Scan a part with the stain of the whole slide; returns its report."""
    settings = ScanSettings(stride=stride)
    with open_slide(path) as slide:
        survey = survey_for_scan(slide, model.card, settings)
        survey = replace(survey, statistics=replace(survey.statistics, stain=stain))
        result = scan_prepared(prepare_slide(slide, model, settings, survey), out)
    result.map.close()
    return result.report


def map_of(out: Path) -> npt.NDArray[np.uint8]:
    """The map as it was written, 8 bits."""
    stored: npt.NDArray[np.uint8] = tifffile.imread(out / "map.ome.tiff", level=0)
    return stored


def compare(whole: Path, parts: list[tuple[Box, Path]], stride: int) -> None:
    """Print count, areas and map of the whole beside those of its parts; exit unless they are equal."""
    reports = [read_report(out / "run.json") for _, out in parts]
    report = read_report(whole / "run.json")
    rows = {
        key: (report["counts"][key], sum(part["counts"][key] for part in reports)) for key in ("counted", "candidates")
    }
    for key in ("slide", "tissue", "counted", "scanned", "unreadable"):
        rows[f"{key}, mm2"] = report["area_mm2"][key], sum(part["area_mm2"][key] for part in reports)
    print("| | whole | quarters |\n| --- | --- | --- |")
    for name, (one, many) in rows.items():
        print(f"| {name} | {one:.6g} | {many:.6g} |")
    stored, different = map_of(whole), 0
    for box, out in parts:
        part = map_of(out)
        there = stored[box.top // stride :, box.left // stride :][: part.shape[0], : part.shape[1]]
        different += int(np.count_nonzero(there != part))
    print(f"\nmap: {different} of {stored.size:,} values differ (8 bits)")
    if not rows["counted"][0]:
        raise SystemExit("nothing was counted: the comparison says nothing")
    unequal = [name for name, (one, many) in rows.items() if not math.isclose(one, many, rel_tol=1e-9)]
    if unequal or different:
        raise SystemExit(f"the whole is not its quarters: {', '.join(unequal) or 'map'}")


def main() -> None:
    """Generate, scan, cut, scan, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=60_000, help="height and width of the slide, px")
    parser.add_argument("--islands", type=int, default=20, help=f"islands of tissue, {ISLAND} px square each")
    parser.add_argument("--stride", type=int, default=4, help="scan stride")
    parser.add_argument("--model", default="mitosis-1")
    parser.add_argument("--whole-only", action="store_true", help="leave the quarters out")
    options = parser.parse_args()
    layout, model = Layout(options.side, options.islands), load_model(options.model)
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.perf_counter()
        slide = folder / "giant.svs"
        write_part(slide, layout, Box(0, 0, options.side, options.side))
        print(f"generated in {time.perf_counter() - started:.0f} s, {slide.stat().st_size / 2**20:.0f} MiB", flush=True)
        arguments = ["--stride", str(options.stride), "--model", options.model, "--device", "cpu"]
        peak, seconds = peak_of_scan(slide, folder / "out", arguments)
        report = read_report(folder / "out" / "giant" / "run.json")
        print(f"peak RSS {peak:.2f} GiB, {seconds:.0f} s, {json.dumps(report['timing'])}", flush=True)
        print(f"count {report['count']}, {json.dumps(report['area_mm2'])}", flush=True)
        if options.whole_only:
            return
        measured = report["statistics"]["stain"]
        stain = None if measured is None else StainStatistics(tuple(measured["mean"]), tuple(measured["std"]))
        parts = []
        for index, box in enumerate(quarters(options.side)):
            write_part(folder / f"{index}.svs", layout, box)
            parts.append((box, folder / "parts" / str(index)))
            scan_part(folder / f"{index}.svs", model, parts[-1][1], options.stride, stain)
        compare(folder / "out" / "giant", parts, options.stride)


if __name__ == "__main__":
    main()
