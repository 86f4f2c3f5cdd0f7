"""`python -m benchmarks.gpu [--write]`: every form, type and stage on a GPU, beside what the card can do.

Bounds are measured in the same run: the rate of a large matrix product in each type, and the bandwidth of copies on the
card, to it and from it. "Share" is the time that the bound allows over the time that was needed: 100 % cannot be beaten
by this arithmetic on this card. With `--device cpu` everything runs once, small: a rehearsal without meaning for speed.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.gpu.bounds import Bounds, measure_bounds
from benchmarks.gpu.layers import layer_table
from benchmarks.gpu.networks import Order, network_table, subjects
from benchmarks.gpu.stages import loop_table, stage_table
from scanner.settings import PRECISIONS

RESULTS = Path(__file__).parent.parent / "results"


def main() -> None:
    """Run everything and print it as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--networks", nargs="+", help="DNN1, DNN2, ValidNet; all if left out")
    parser.add_argument("--tiles", type=int, nargs="+", help="sides of the scored area, px")
    parser.add_argument("--strides", type=int, nargs="+", help="output strides")
    parser.add_argument("--precisions", nargs="+", help="float32, tf32, bfloat16; all if left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/results/")
    options = parser.parse_args()
    device = torch.device(options.device)
    is_gpu = device.type == "cuda"
    order = Order(
        device,
        tuple(options.tiles or ((1024, 2048, 4096) if is_gpu else (64,))),
        tuple(options.strides or ((1, 2, 4, 8) if is_gpu else (8,))),
        tuple(options.precisions or PRECISIONS),
        options.rounds if is_gpu else 1,
    )
    lines = []
    for line in report(order, tuple(options.networks or ())):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        name = re.sub(r"[^a-z0-9]+", "-", card_name(device).lower()).strip("-")
        (RESULTS / f"gpu-{name}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def report(order: Order, networks: tuple[str, ...]) -> Iterator[str]:
    """Lines of markdown."""
    bounds = measure_bounds(order.device, rounds=order.rounds)
    yield from describe(order, bounds)
    for subject in subjects(networks):
        for stride in order.strides:
            yield from network_table(subject, stride, order, bounds)
        yield from layer_table(subject, order, bounds)
        yield from stage_table(subject, order, bounds)
        yield from loop_table(subject, order)


def describe(order: Order, bounds: Bounds) -> Iterator[str]:
    """The card, its bounds, and a warning where it is none."""
    card, day = card_name(order.device), datetime.now(UTC).date()
    yield f"# {card}"
    yield ""
    yield f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}, {day}."
    if order.device.type != "cuda":
        yield "A rehearsal on the CPU: the figures say nothing about a GPU."
    yield ""
    rates = ", ".join(f"{name} {rate / 1e12:.1f}" for name, rate in bounds.matrix.items())
    yield f"Matrix product, TFLOP/s: {rates}. Copies, GB/s: on the device {bounds.copy / 1e9:.0f} (read and written), "
    yield f"to it {bounds.up / 1e9:.1f}, from it {bounds.down / 1e9:.1f}."
    yield ""


def card_name(device: torch.device) -> str:
    """As the driver says it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


if __name__ == "__main__":
    main()
