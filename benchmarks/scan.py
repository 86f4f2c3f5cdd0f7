"""End to end against the network alone: `python -m benchmarks.scan [--side 10000] [--threads 2]`.

Scans a generated JPEG pyramid, all tissue, and prints where the wall clock went.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import torch

from benchmarks.slides import write_slide
from models import DEFAULT_MODEL, load_model
from scanner import scan
from scanner.bench.report import describe_machine


def main() -> None:
    """Scan one slide and compare the wall clock with the network's share of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000, help="height and width of the slide, px")
    parser.add_argument("--stride", type=int, help="scan stride; the card's if left out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.svs"
        write_slide(slide, options.side, options.side)
        result = scan(slide, load_model(DEFAULT_MODEL), Path(folder) / "out", stride=options.stride)
    seconds = result.report["timing"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(describe_machine())
    print(f"{options.side} x {options.side} px, stride {result.frame.stride}: {peak:.2f} GiB peak RSS")
    print(", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items()))
    print(f"total / net = {seconds['total'] / seconds['net']:.2f}")


if __name__ == "__main__":
    main()
