"""The command that measures: a whole scan, or the dense net alone beside the patch loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from models import DEFAULT_MODEL, Model
from scanner.batch.outcomes import assumed_mpp
from scanner.cli.options import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    StrideOption,
    fail_cleanly,
    open_model,
    say_assumption,
)
from scanner.settings import ScanSettings
from scanner.slides.files.fingerprint import fingerprint


def bench_command(
    slide: Annotated[
        Path | None, typer.Argument(help="A slide: where the time of its scan goes, instead of the dense net's alone.")
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    stride: StrideOption = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the processor.")] = 1,
) -> None:
    """Measure a model's dense net on this machine, beside the same classifier patch by patch; or a whole scan.

    Example: mitoscan bench --stride 4
    """
    settings = fail_cleanly(lambda: ScanSettings(device=device, precision=precision, stride=stride))
    if slide is not None:
        fail_cleanly(lambda: fingerprint(slide))  # Raises if it is not there, before torch is loaded.
    loaded = open_model(model)
    import torch

    torch.set_num_threads(threads)
    if slide is not None:
        lines = _bench_slide(slide, loaded, settings)
    else:
        from scanner.cli.bench_network import bench_network

        lines = bench_network(loaded, settings)
    while (line := fail_cleanly(lambda: next(lines, None))) is not None:
        typer.echo(line)


def _bench_slide(slide: Path, model: Model, settings: ScanSettings) -> Iterator[str]:
    from scanner.cli.bench_slide import bench_slide, lines_of_slide_bench

    found = bench_slide(slide, model, settings)
    say_assumption(str(slide), assumed_mpp(found.result.report))
    yield from lines_of_slide_bench(found)
