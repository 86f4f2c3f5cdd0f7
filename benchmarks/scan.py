"""End to end against the network alone: `python -m benchmarks.scan [--side 10000] [--threads 2]`.

Scans a generated JPEG pyramid, all tissue, and prints where the time went: `mitoscan bench` with a slide of its own.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import torch

from benchmarks.slides import write_slide
from models import DEFAULT_MODEL, load_model
from scanner.cli.bench_slide import bench_slide, lines_of_slide_bench
from scanner.settings import ScanSettings


def main() -> None:
    """Scan one slide and compare it with the network on the same tiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000, help="height and width of the slide, px")
    parser.add_argument("--stride", type=int, help="scan stride; the card's if left out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.svs"
        write_slide(slide, options.side, options.side)
        found = bench_slide(slide, load_model(DEFAULT_MODEL), ScanSettings(stride=options.stride))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("\n".join(lines_of_slide_bench(found)))
    print(f"Peak RSS: {peak:.2f} GiB.")


if __name__ == "__main__":
    main()
