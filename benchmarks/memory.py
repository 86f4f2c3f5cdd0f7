"""Peak memory of a scan against the slide's height: `python -m benchmarks.memory [--side 20000] [--stride 4]`.

Each slide is scanned by the command line in a process of its own, whose largest resident set is what counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.slides import write_slide

SCAN = "from service.cli import main; main()"


def peak_of_scan(slide: Path, out: Path, options: list[str]) -> tuple[float, float]:
    """GiB of the largest resident set of `mitoscan scan`, and seconds."""
    started = time.perf_counter()
    command = [sys.executable, "-c", SCAN, "scan", str(slide), "-o", str(out), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the scan of {slide.name} failed")
    return usage.ru_maxrss / 2**20, time.perf_counter() - started  # ru_maxrss is in KiB on Linux


def main() -> None:
    """Scan a square slide and one twice as wide, then twice as high."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20_000, help="height and width of the first slide, px")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2], help="widths of the others, in sides")
    parser.add_argument("--stride", type=int, help="scan stride; the card's if left out")
    options = parser.parse_args()
    extra = [] if options.stride is None else ["--stride", str(options.stride)]
    print("| slide, px (height x width) | peak RSS, GiB | seconds |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for factor in options.factors:
            height, width = options.side, options.side * factor
            slide = Path(folder) / f"{height}x{width}.svs"
            write_slide(slide, height, width)
            peak, seconds = peak_of_scan(slide, Path(folder) / "out", extra)
            print(f"| {height:,} x {width:,} | {peak:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
