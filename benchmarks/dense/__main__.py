"""Speed of the dense net beside loops and other engines: `python -m benchmarks.dense [--write]`.

`mitoscan bench` compares a model's dense net with its patch loop alone. With `--write` the report is kept in
benchmarks/results/, as a table and as a plot.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.dense.plot import draw_races
from benchmarks.dense.race import Race
from benchmarks.dense.report import PEERS, markdown_of_bench
from benchmarks.dense.run import BenchSettings, run_bench
from scanner.dense.capabilities import describe_machine

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Race all networks at q = 1, 2, 4, 8 and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="+", default=[], help="all if left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--stride", type=int, nargs="+", default=[1, 4, 2, 8])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 4, 64])
    parser.add_argument("--write", metavar="NAME", help="keep table and plot in benchmarks/results/ under this name")
    options = parser.parse_args()
    settings = BenchSettings(
        networks=tuple(options.network),
        strides=options.stride,
        tile=options.tile,
        rounds=options.rounds,
        threads=options.threads,
        batches=tuple(options.batch),
        compiled=True,
    )
    lines, races = [], list[Race]()
    for line in markdown_of_bench(_kept(run_bench(settings), races)):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{options.write}.md").write_text("\n".join(lines).rstrip() + "\n")
        draw_races(races, RESULTS / f"{options.write}.png", title=describe_machine(*PEERS))


def _kept(races: Iterable[Race], kept: list[Race]) -> Iterator[Race]:
    """`races` as they come, and in `kept`."""
    for race in races:
        kept.append(race)
        yield race


if __name__ == "__main__":
    main()
