"""How the native form scales with threads: `python -m benchmarks.threads [--network DNN2] [--threads 1 2]`.

Wall-clock time, so it means something on an idle machine alone; best rounds are shown beside the medians, because
other work only ever makes a round slower.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from scanner.bench.measure import Case, measure
from scanner.bench.report import describe_machine
from scanner.bench.subjects import Subject, subjects
from scanner.dense import densify


def main() -> None:
    """Time every network and stride with each number of threads, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="+", default=[], help="all if left out")
    parser.add_argument("--stride", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(describe_machine())
    print("\n| network, q | threads | wall ns/px | best | CPU ns/px | times faster | by the best |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for subject in subjects(tuple(options.network)):
        for stride in options.stride:
            run = scorer(subject, stride, options.tile)
            cases = [
                Case(str(count), lambda count=count, run=run: run(count), options.tile**2) for count in options.threads
            ]
            timings = measure(cases, rounds=options.rounds)
            for count, timing in zip(options.threads, timings, strict=True):
                faster = timings[0].median_wall / timing.median_wall
                by_best = min(timings[0].wall) / min(timing.wall)
                print(
                    f"| {subject.name}, {stride} | {count} | {timing.median_wall:.1f} | {min(timing.wall):.1f} "
                    f"| {timing.median_cpu:.1f} | {faster:.2f} | {by_best:.2f} |",
                    flush=True,
                )


def scorer(subject: Subject, stride: int, tile: int) -> Callable[[int], None]:
    """Scores one tile with so many threads."""
    dense, image = densify(subject.net, subject.patch_size, stride), subject.image(tile)

    def run(threads: int) -> None:
        torch.set_num_threads(threads)
        dense(image)

    return run


if __name__ == "__main__":
    main()
