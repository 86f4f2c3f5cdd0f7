"""Whole scans beside others: `python -m benchmarks.peers [--side 10240] [--rounds 5] [--write] [--tiatoolbox PYTHON]`.

Every tool gets the same network and slides from one generator (JPEG pyramid, tissue everywhere), runs as a command of
its own from the slide's file to detections on disk, and is timed from outside: wall clock, processor time, largest
resident set. Rounds are interleaved; medians count. Tools that go patch by patch get a slide of `--small` px, and are
compared by mm2 per processor second. TIAToolbox lives in an environment of its own, whose Python is named.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.peers.export_network import export_network
from benchmarks.slides import write_slide
from models import DEFAULT_MODEL, load_model
from scanner.dense.capabilities import describe_machine

RESULTS = Path(__file__).parents[1] / "results" / "peers.md"
OURS = "mitoscan"
#: Sides of the tiles of the loop, px: its own best counts.
TILES = (1024, 2048)
WITHOUT = "no tissue, stain, border, resampling, background, pictures, checks, resume"
#: Ratios are per mm2: of processor time, and of seconds in the network.
COLUMNS = (
    "tool",
    "slide, mm2",
    "wall, s",
    "processor, s",
    "network, s",
    "mm2 per processor second",
    "cost / ours",
    "network / ours",
    "peak, GiB",
    "what it leaves out",
)
PACKAGES = ("torch", "onnxruntime", "openslide-python", "openslide-bin", "monai", "scikit-image")


@dataclass(frozen=True)
class Tool:
    """What is run."""

    name: str
    command: tuple[str, ...]
    #: Side of its slide, px.
    side: int
    #: What it leaves out of what a scan does.
    lacks: str = ""


@dataclass(frozen=True)
class Run:
    """One run, from outside and by what it says of itself."""

    wall: float
    processor: float
    #: GiB.
    peak: float
    #: Seconds in the network.
    network: float


def tools(folder: Path, model: str, options: argparse.Namespace) -> Iterator[Tool]:
    """Ours, and everyone whose packages are there."""
    large, small = folder / "large.svs", folder / "small.svs"
    write_slide(large, options.side, options.side)
    write_slide(small, options.small, options.small, levels=1)
    monai = (model, str(folder / "monai.csv"), "--threads", str(options.threads))
    yield Tool(OURS, _module("ours", large, model, str(folder / "ours")), options.side)
    for side in TILES:
        place = folder / str(side)
        place.mkdir()
        exported = export_network(load_model(model), place, side=side)
        loop = (str(exported.dense), str(exported.contract), str(place / "loop.csv"), "--threads", str(options.threads))
        name = f"OpenSlide + ONNX Runtime, tiles of {side} px, the same dense graph"
        yield Tool(name, _module("onnx_loop", large, *loop), options.side, WITHOUT)
    name = "MONAI, sliding window of patches, the same classifier"
    yield Tool(name, _module("monai_patches", small, *monai), options.small, WITHOUT)
    if options.tiatoolbox:
        script, traced = Path(__file__).with_name("tia_patches.py"), folder / "classifier.pt"
        _trace(model, traced)
        arguments = (str(script), str(small), str(traced), str(exported.contract), str(folder / "tia"))
        name = "TIAToolbox, PatchPredictor, the same classifier"
        yield Tool(name, (options.tiatoolbox, *arguments), options.small, WITHOUT)


def _module(name: str, slide: Path, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.peers.{name}", str(slide), *arguments)


def _trace(model: str, path: Path) -> None:
    loaded = load_model(model)
    side = loaded.card.patch_size
    torch.jit.trace(loaded.net, torch.zeros(1, 3, side, side)).save(str(path))  # type: ignore[no-untyped-call]


def run(tool: Tool, threads: int) -> Run:
    """Run a tool once."""
    # What the caller has put first on the path stays there: another build of a peer, say.
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(RESULTS.parents[2]))))
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": paths}
    with tempfile.TemporaryFile() as output:
        started = perf_counter()
        process = subprocess.Popen(tool.command, stdout=output, stderr=subprocess.DEVNULL, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    if process.returncode:
        raise SystemExit(f"{tool.name} failed: {' '.join(tool.command)}")
    network = float(json.loads(said.strip().splitlines()[-1])["network"])
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20, network)


def table(runs: dict[Tool, list[Run]], mpp: float) -> Iterator[str]:
    """The Markdown table, ours first."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    ours = next(found for tool, found in runs.items() if tool.name == OURS)
    for tool, found in runs.items():
        area = (tool.side * mpp / 1000) ** 2
        of_ours = (next(one.side for one in runs if one.name == OURS) * mpp / 1000) ** 2
        wall, processor, network = (
            statistics.median(getattr(one, name) for one in found) for name in ("wall", "processor", "network")
        )
        cost, own = processor / area, statistics.median(one.processor for one in ours) / of_ours
        network_cost = network / area / (statistics.median(one.network for one in ours) / of_ours)
        cells = (
            tool.name,
            f"{area:.3f}",
            f"{wall:.1f}",
            f"{processor:.1f}",
            f"{network:.1f}",
            f"{area / processor:.4f}",
            f"{cost / own:.2f}",
            f"{network_cost:.2f}",
            f"{max(one.peak for one in found):.2f}",
            tool.lacks or "nothing of what `mitoscan scan` does",
        )
        yield f"| {' | '.join(cells)} |"


def versions(python: str | None) -> str:
    """Of the packages that took part."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    if python:
        code = "from importlib.metadata import version as v; print('tiatoolbox', v('tiatoolbox'), 'torch', v('torch'))"
        found.append(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    return ", ".join(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Race, print the table, keep it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_240, help="height and width of the slide, px")
    parser.add_argument("--small", type=int, default=512, help="of that for tools that go patch by patch, px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tiatoolbox", help="Python of an environment that holds TIAToolbox")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULTS.name}")
    options = parser.parse_args(arguments)
    card = load_model(options.model).card
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(tools(Path(folder), options.model, options))
        runs: dict[Tool, list[Run]] = {tool: [] for tool in chosen}
        for number in range(options.rounds):
            for tool in chosen:
                runs[tool].append(run(tool, options.threads))
                print(f"round {number + 1}, {tool.name}: {runs[tool][-1]}", file=sys.stderr, flush=True)
    text = "\n".join(
        (
            f"# Whole scans beside others: {card.name} at stride {card.stride}",
            "",
            f"{describe_machine()}; {options.threads} threads, medians of {options.rounds} interleaved rounds, "
            f"{datetime.now(UTC):%Y-%m-%d}.",
            f"{versions(options.tiatoolbox)}.",
            "",
            *table(runs, card.mpp),
            "",
        )
    )
    print(text)
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
