"""A finished race as a markdown table, headed by the machine it ran on."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Iterator

from benchmarks.dense.race import Race
from scanner.dense.capabilities import describe_machine

#: The other engines, whose versions a report names.
PEERS = ("onnxruntime", "openvino", "monai")
_COLUMNS = ("way", "CPU ns/px", "best", "wall ns/px", "ratio", "max difference", "share of peak")


def markdown_of_race(race: Race) -> Iterator[str]:
    """Lines of one network's table at one stride."""
    first = race.rows[0]
    yield f"### {first.network}, q = {first.stride}, tile {first.tile}"
    yield ""
    peaks = race.peaks
    half = "no fast bfloat16" if peaks.bfloat16 is None else f"{peaks.bfloat16:.0f} in bfloat16"
    rates = f"{peaks.float32:.0f} GFLOP/s in float32, {half}"
    yield f"Peaks: {rates}; copy {peaks.copy:.1f} GB/s."
    yield f"The rule takes: {race.choice}."
    yield ""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{' --- |' * len(_COLUMNS)}"
    for row in race.rows:
        times = (row.timing.median_cpu, row.timing.best_cpu, row.timing.median_wall, row.ratio)
        share = f"{row.peak_share:.0%}" if row.peak_share else ""
        cells = (row.contestant, *(f"{value:,.1f}" for value in times), f"{row.difference:.1e}", share)
        yield f"| {' | '.join(cells)} |"
    yield ""


LEGEND = """\
CPU ns/px: processor time of all threads per covered image pixel, median of interleaved rounds in one process; best: the
least disturbed round. ratio: against the plain loop (the first row). max difference: of a logit, from the classifier
patch by patch. share of peak: FLOPs of the dense convolutions per second, against the best round of a 256-channel
convolution of the same precision timed between the others."""


def markdown_of_bench(races: Iterable[Race]) -> Iterator[str]:
    """Lines of the whole report, as they come."""
    yield describe_machine(*PEERS)
    yield ""
    yield LEGEND
    yield ""
    for race in races:
        yield from markdown_of_race(race)
    yield f"Largest resident set of the process: {peak_resident_bytes() / 2**30:.2f} GiB."


def peak_resident_bytes() -> int:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
