"""Many small slides against their networks: `python -m benchmarks.scale.many [--slides 20] [--side 3000]`.

One command scans a folder of generated slides. Its seconds for the slides, without start and end, stand against what
the networks of all of them need alone, on the same tiles.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.slides import write_slide
from models import DEFAULT_MODEL, load_model
from scanner.cli.bench_slide import bench_slide
from scanner.dense.capabilities import describe_machine


def main() -> None:
    """Scan the folder, then one network alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--side", type=int, default=3_000, help="height and width of each slide, px")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, ratios = load_model(DEFAULT_MODEL), []
    print(f"{describe_machine()}; {options.slides} slides of {options.side} x {options.side} px")
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "slides", Path(place) / "out"
        folder.mkdir()
        for number in range(options.slides):
            write_slide(folder / f"{number}.svs", options.side, options.side)
        for _ in range(options.rounds):
            command = [sys.executable, "-m", "service.cli", "scan", str(folder), "-o", str(out), "--overwrite"]
            environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
            subprocess.run(command, env=environment, capture_output=True, check=True)
            spent = json.loads((out / "batch.json").read_text())["timing"]["slides"]
            alone = bench_slide(folder / "0.svs", model).network
            ratios.append(
                (spent["wall"] / alone.wall / options.slides, spent["processor"] / alone.processor / options.slides)
            )
            print(f"slides {spent['wall']:.1f} s, networks alone {alone.wall * options.slides:.1f} s", flush=True)
    for name, values in zip(("wall", "processor time"), zip(*ratios, strict=True), strict=True):
        print(f"slides / networks alone by {name}: {', '.join(f'{value:.2f}' for value in sorted(values))}")


if __name__ == "__main__":
    main()
