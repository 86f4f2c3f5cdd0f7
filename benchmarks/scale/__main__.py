"""What scale brings, from one measured scan: `python -m benchmarks.scale [--side 10240] [--write]`.

A generated slide is scanned as a command with one thread and with two. Its stages give the serial share, and with it
what more processors bring (Amdahl 1967); the two-thread scan checks the model. Then 200 slides run on 1 to 64 simulated
hosts by the real dispatcher, one in twenty of them a giant, one host in eight at half speed, all from one store. Prices
are assumptions, to be replaced by yours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.scale.simulation import Cluster, SlideWork, StageTimes, simulate
from benchmarks.slides import write_slide
from scanner.cluster.bands import BAND_PX
from scanner.dense.capabilities import describe_machine

RESULTS = Path(__file__).parents[1] / "results" / "scale.md"
CORES = (1, 2, 4, 8, 16, 32, 64)
HOSTS = (1, 2, 4, 8, 16, 32, 64)
#: Cores of a simulated host, and what its store gives to all hosts together, GB/s.
HOST_CORES, STORE = 16, 2.0
#: mm2 of tissue: median of slides, spread of its logarithm, giants and their share; of a band at 0.25 um a px.
SLIDES, MEDIAN_MM2, SPREAD, GIANT_MM2, GIANTS = 200, 100.0, 0.6, 1500.0, 0.05
BAND_MM2 = BAND_PX * 0.25e-3**2
#: Virtual processors, and published US dollars an hour on demand, in Northern Virginia: c5 from the example table of
#: Amazon EC2 Auto Scaling's guide on spot prices, c6i from an estimate of Infracost (62.05 for 730 hours).
PRICES = {"c6i.large": (2, 0.085), "c5.4xlarge": (16, 0.68), "c5.18xlarge": (72, 3.06)}


@dataclass(frozen=True)
class Measured:
    """Medians of the runs with so many threads; seconds."""

    threads: int
    mm2: float
    gigabytes: float
    #: Of the command, from outside its slide: libraries, network, end.
    outside: float
    #: Wall of the stages that one thread does, and of the network's.
    survey: float
    finish: float
    network: float
    network_processor: float

    @property
    def total(self) -> float:
        """Wall of the command."""
        return self.outside + self.survey + self.network + self.finish


def measure(slide: Path, threads: int, rounds: int) -> Measured:
    """Scan a slide a few times as a command."""
    found = [_scan(slide, threads) for _ in range(rounds)]
    middle = {name: statistics.median(getattr(one, name) for one in found) for name in vars(found[0])}
    return Measured(**middle)


def _scan(slide: Path, threads: int) -> Measured:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "service.cli", "scan", str(slide), "-o", out, "--device", "cpu"]
        root = str(RESULTS.parents[2])
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": root}
        subprocess.run(command, env=environment, capture_output=True, check=True)
        report = json.loads((Path(out) / slide.stem / "run.json").read_text())
        batch = json.loads((Path(out) / "batch.json").read_text())["timing"]
    stages = report["timing"]["stages"]
    finish = sum(one["wall"] for name, one in stages.items() if name not in {"survey", "network"})
    return Measured(
        threads,
        report["area_mm2"]["scanned"],
        slide.stat().st_size / 1e9,
        batch["start"]["wall"] + batch["end"]["wall"],
        stages["survey"]["wall"],
        finish,
        stages["network"]["wall"],
        stages["network"]["processor"],
    )


def seconds_with(one: Measured, cores: int) -> float:
    """Wall of the measured scan with more cores: only the network's stage is shared among them."""
    return one.outside + one.survey + one.finish + one.network / cores


def _cores(one: Measured, two: Measured) -> Iterator[str]:
    yield "| cores | seconds | mm2 per s | share of so many times one core |"
    yield "|---|---|---|---|"
    for cores in CORES:
        seconds = seconds_with(one, cores)
        share = one.total / seconds / cores
        note = f" (measured: {two.total:.1f})" if cores == 2 else " (measured)" if cores == 1 else ""
        yield f"| {cores} | {seconds:.1f}{note} | {one.mm2 / seconds:.2f} | {share:.0%} |"


def times_on(one: Measured, cores: int, per_mm2: float) -> StageTimes:
    """Stage times of a host with so many cores, whose figures and files take `per_mm2` seconds more with every mm2."""
    return StageTimes(one.survey, one.network / cores / one.mm2, one.finish - per_mm2 * one.mm2, per_mm2)


def _cluster(one: Measured, per_mm2: float) -> Iterator[str]:
    rng = np.random.default_rng(0)
    areas = MEDIAN_MM2 * np.exp(rng.normal(0, SPREAD, SLIDES))
    areas[rng.random(SLIDES) < GIANTS] = GIANT_MM2
    slides = [SlideWork(float(mm2), max(1, round(mm2 / BAND_MM2)), one.gigabytes / one.mm2 * mm2) for mm2 in areas]
    times = times_on(one, HOST_CORES, per_mm2)
    yield "| hosts | all equal: hours | mm2 per s | share of so many times one | every eighth at half speed: hours |"
    yield "|---|---|---|---|---|"
    alone = simulate(slides, Cluster((1.0,), STORE), times).seconds
    for hosts in HOSTS:
        equal = simulate(slides, Cluster((1.0,) * hosts, STORE), times)
        mixed = simulate(slides, Cluster(tuple(0.5 if n % 8 == 7 else 1.0 for n in range(hosts)), STORE), times)
        share = alone / equal.seconds / hosts
        yield (
            f"| {hosts} | {equal.seconds / 3600:.2f} | {equal.mm2 / equal.seconds:.1f} | {share:.0%} | "
            f"{mixed.seconds / 3600:.2f} |"
        )


def _costs(one: Measured, per_mm2: float) -> Iterator[str]:
    yield "| machine of Amazon | processors | US dollars an hour | seconds for 100 mm2 | US dollars for 100 mm2 |"
    yield "|---|---|---|---|---|"
    for name, (cores, price) in PRICES.items():
        times = times_on(one, cores, per_mm2)
        seconds = times.survey + times.finish + (times.network_per_mm2 + per_mm2) * MEDIAN_MM2
        yield f"| {name} | {cores} | {price:.3f} | {seconds:.0f} | {price * seconds / 3600:.4f} |"


def main() -> None:
    """Measure, calculate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_240, help="height and width of the slide, px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"keep the tables in {RESULTS.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.svs"
        write_slide(slide, options.side, options.side)
        one, two = (measure(slide, threads, options.rounds) for threads in (1, 2))
        write_slide(slide, options.side // 2, options.side // 2)
        half = measure(slide, 1, options.rounds)
    text = "\n".join(report(one, two, half, options.rounds))
    print(text)
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


def report(one: Measured, two: Measured, half: Measured, rounds: int) -> Iterator[str]:
    """Lines of Markdown: of one thread, of two, and of one on a slide of a quarter of the area."""
    per_mm2 = max(0.0, (one.finish - half.finish) / (one.mm2 - half.mm2))
    yield from (
        "# Scale, from one measured scan",
        "",
        f"{describe_machine()}. {one.mm2:.2f} mm2, medians of {rounds} runs with one thread: "
        f"{one.outside:.2f} s for the command, {one.survey:.2f} s for the survey, {one.network:.2f} s for the "
        f"network, {one.finish:.2f} s for figures and files, of which {per_mm2:.3f} s a mm2.",
        "",
        "## Cores of one machine",
        "",
        *_cores(one, two),
        "",
        f"## A cluster of hosts with {HOST_CORES} cores, simulated",
        "",
        f"{SLIDES} slides, median {MEDIAN_MM2:.0f} mm2, {GIANTS:.0%} of them {GIANT_MM2:.0f} mm2; one store of "
        f"{STORE:.0f} GB/s.",
        "",
        *_cluster(one, per_mm2),
        "",
        "## What a slide costs",
        "",
        "All processors of a machine on one slide, each taken for a core of the machine that was measured: a virtual",
        "one of Amazon's is half a core, of another generation. Published prices of Northern Virginia, which change.",
        "",
        *_costs(one, per_mm2),
        "",
    )


if __name__ == "__main__":
    main()
