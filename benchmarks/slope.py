"""Cost per pixel against the size of the image: `python -m benchmarks.slope [--sides 256 ... 8192]`."""

from __future__ import annotations

import argparse

import torch

from benchmarks.dense.measure import Case, measure
from benchmarks.dense.report import peak_resident_bytes
from benchmarks.dense.subjects import subjects
from scanner.dense import densify
from scanner.dense.capabilities import describe_machine

#: Sides of the scored area: tiles, and then 1 to 64 Mpx.
SIDES = [256, 512, 1024, 2048, 4096, 8192]


def main() -> None:
    """Score larger and larger images with one dense net; ns of processor time per covered pixel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="px of the scored area")
    parser.add_argument("--network", default="DNN1")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    subject = next(subjects((options.network,)))
    dense = densify(subject.net, subject.patch_size, options.stride)
    # One image, and views of it: its size must not be taken for what the network needs.
    side = max(options.sides) + subject.patch_size - 1
    image = torch.empty(1, 3, side, side).uniform_(-1, 1)
    held = peak_resident_bytes()
    views = [image[:, :, : side + subject.patch_size - 1, : side + subject.patch_size - 1] for side in options.sides]
    cases = [
        Case(str(side), lambda view=view: dense(view), side**2) for side, view in zip(options.sides, views, strict=True)
    ]
    timings = measure(cases, rounds=options.rounds)
    print(describe_machine())
    print(f"{subject.name}, q = {options.stride}, form {dense.form}\n\n| side | Mpx | CPU ns/px | best |")
    print("| --- | --- | --- | --- |")
    for side, timing in zip(options.sides, timings, strict=True):
        print(f"| {side} | {side**2 / 2**20:.2f} | {timing.median_cpu:.1f} | {timing.best_cpu:.1f} |")
    grown = peak_resident_bytes() - held
    scores = 2 * 4 * (max(options.sides) // options.stride) ** 2
    print(f"\nResident set beside the image: {grown / 2**20:.0f} MiB, of which scores {scores / 2**20:.0f} MiB.")


if __name__ == "__main__":
    main()
