"""Cost per pixel against the size of the image: `python -m benchmarks.slope [--mpx 1 4 16 64]`."""

from __future__ import annotations

import argparse

import torch

from scanner.bench.measure import Case, measure
from scanner.bench.report import describe_machine
from scanner.bench.subjects import subjects
from scanner.dense import densify


def main() -> None:
    """Score larger and larger images with one dense net; ns of processor time per covered pixel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpx", type=int, nargs="+", default=[1, 4, 16, 64], help="sizes of the scored area")
    parser.add_argument("--network", default="DNN1")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    subject = next(subjects((options.network,)))
    dense = densify(subject.net, subject.patch_size, options.stride)
    sides = [round((mpx * 2**20) ** 0.5) for mpx in options.mpx]
    images = [subject.image(side) for side in sides]
    cases = [
        Case(str(side), lambda image=image: dense(image), side**2) for side, image in zip(sides, images, strict=True)
    ]
    print(describe_machine())
    print(f"{subject.name}, q = {options.stride}, form {dense.form}\n\n| Mpx | CPU ns/px | best |\n| --- | --- | --- |")
    for mpx, timing in zip(options.mpx, measure(cases, rounds=options.rounds), strict=True):
        print(f"| {mpx} | {timing.median_cpu:.1f} | {timing.best_cpu:.1f} |")


if __name__ == "__main__":
    main()
