"""What a coarser scan costs in quality, and a finer one gains: the same fields at output strides 1, 2, 4 and 8.

    python -m benchmarks.strides --data data/mitos14 [--every 4] [--precision bfloat16]

Fields are scored by the folds of the model that were trained without their case. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from models import DEFAULT_MODEL, load_folds, load_model
from scanner.evaluation.evaluate import evaluate
from scanner.labels.fields import read_fields

STRIDES = (8, 4, 2, 1)


def table(model: str, data: Path, *, every: int, precision: str) -> Iterator[str]:
    """The lines of the table, as they are measured."""
    loaded, folds = load_model(model), load_folds(model)
    fields = read_fields(data, mpp=loaded.card.training["fields_mpp"])[::every]
    yield f"| {len(fields)} fields, stride | F1 | best F1 of any threshold | AP | seconds of processor time |"
    yield "|---|---|---|---|---|"
    for stride in STRIDES:
        start = time.process_time()
        found = evaluate(loaded, fields, folds=folds, stride=stride, precision=precision, device="cpu")
        figures = found.report()["pooled"]
        yield (
            f"| {stride} | {figures['f1']:.3f} | {figures['best_f1']:.3f} | {figures['average_precision']:.3f} "
            f"| {time.process_time() - start:.0f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4, help="every so many-th field")
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    lines = table(arguments.model, arguments.data, every=arguments.every, precision=arguments.precision)
    for line in lines:
        print(line, flush=True)
