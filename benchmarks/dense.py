"""Speed of the dense net beside loops and other engines: `python -m benchmarks.dense [--write]`.

The measurement itself is part of the package (`mitoscan bench`); here its full form is run, and with `--write` kept
in benchmarks/results/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scanner.bench.report import markdown_of_bench
from scanner.bench.run import BenchSettings, run_bench

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Race all networks at q = 1, 2, 4, 8 and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--stride", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/results/")
    options = parser.parse_args()
    settings = BenchSettings((), options.stride, options.tile, options.rounds, options.threads)
    lines = []
    for line in markdown_of_bench(run_bench(settings)):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"dense-{options.threads}-threads.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
