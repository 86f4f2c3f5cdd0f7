"""How the native form scales with threads: `python -m benchmarks.threads [--network DNN2] [--threads 1 2]`.

Threads share one tile, or each has a tile of its own, as in scans.
Wall-clock time, so it means something on an idle machine alone; best rounds are shown beside the medians, because
other work only ever makes a round slower.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch

from benchmarks.dense.measure import Case, measure
from benchmarks.dense.subjects import Subject, subjects
from scanner.dense import densify
from scanner.dense.capabilities import describe_machine
from scanner.devices.device_queue import HostQueue, StageSeconds


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
            cases = cases_of(subject, stride, tile=options.tile, threads=options.threads)
            timings = measure(cases, rounds=options.rounds)
            for case, timing in zip(cases, timings, strict=True):
                faster = timings[0].median_wall / timing.median_wall
                by_best = min(timings[0].wall) / min(timing.wall)
                print(
                    f"| {subject.name}, {stride} | {case.name} | {timing.median_wall:.1f} | {min(timing.wall):.1f} "
                    f"| {timing.median_cpu:.1f} | {faster:.2f} | {by_best:.2f} |",
                    flush=True,
                )


def cases_of(subject: Subject, stride: int, *, tile: int, threads: list[int]) -> list[Case]:
    """One tile with each number of threads, then as many tiles as threads."""
    dense, image = densify(subject.net, subject.patch_size, stride), subject.image(tile)

    def together(count: int) -> None:
        torch.set_num_threads(count)
        dense(image)

    def side_by_side(count: int, queue: HostQueue) -> None:
        for pending in [queue.launch([np.empty((1, 1, 3), np.uint8)]) for _ in range(count)]:
            pending.result()

    cases = [Case(str(count), partial(together, count), tile**2) for count in threads]
    for count in (count for count in threads if count > 1):
        torch.set_num_threads(count)
        queue = HostQueue(lambda _pixels: dense(image), StageSeconds(), at_once=count)
        cases.append(Case(f"{count}, a tile each", partial(side_by_side, count, queue), count * tile**2))
    return cases


if __name__ == "__main__":
    main()
