"""Whether the fast forms find what float32 torch finds: `python -m benchmarks.detections --data FOLDER [--write]`.

Every labelled field is scanned three times at the card's stride: in float32 by torch, in float32 by the native form,
and in bfloat16. Detections are paired by their place, which may move by one output pixel; every one without a partner,
above the card's threshold in one scan and not in the other, is listed with its score.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.coarse_to_fine import MPP, spread
from models import DEFAULT_MODEL, Model, load_model
from models.registry import load_folds
from scanner import scan
from scanner.dense.capabilities import describe_machine
from scanner.dense.native import library
from scanner.detections.detection import Detection
from scanner.evaluation.folds import unseen_by
from scanner.labels.fields import LabelledField, read_fields
from scanner.result import ScanResult

RESULTS = Path(__file__).parent / "results" / "detections.md"
REFERENCE = "float32 torch"
FORMS = {REFERENCE: "float32", "float32 native": "float32", "bfloat16": "bfloat16"}


@dataclass
class Tally:
    """One form against the reference, over all fields."""

    detections: int = 0
    same: int = 0
    score_difference: float = 0.0
    map_difference: float = 0.0
    listed: list[str] = field(default_factory=list)


def main() -> None:
    """Scan the fields and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels.csv")
    parser.add_argument("--fields", type=int, default=12, help="so many, evenly spread, those with figures first")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, folds = load_model(DEFAULT_MODEL), load_folds(DEFAULT_MODEL)
    tallies = {name: Tally() for name in FORMS}
    for chosen in spread(read_fields(options.data, mpp=MPP), options.fields):
        compare(chosen, unseen_by(model, folds, chosen.case), tallies)
        print(chosen.path.name, {name: tally.same for name, tally in tallies.items()}, flush=True)
    text = "\n".join(table(tallies, model, options.fields))
    print(text)
    if options.write:
        RESULTS.write_text(text + "\n", encoding="utf-8")


def compare(field: LabelledField, model: Model, tallies: dict[str, Tally]) -> None:
    """Add one field."""
    results = {}
    for name, precision in FORMS.items():
        with without_native(is_off=name == REFERENCE):
            results[name] = scan(field.path, model, mpp=field.mpp, tissue=False, precision=precision)
    for name, tally in tallies.items():
        add(tally, results[name], results[REFERENCE], field.path.stem)


def add(tally: Tally, result: ScanResult, reference: ScanResult, name: str) -> None:
    """Pair the detections of one field."""
    reach = reference.frame.stride + 1
    tally.detections += len(result.detections)
    values, expected = np.asarray(result.map, np.float32), np.asarray(reference.map, np.float32)
    tally.map_difference = max(tally.map_difference, float(np.abs(values - expected).max()))
    for detection in result.detections:
        partner = nearest(reference.detections, detection, reach)
        if partner is None:
            tally.listed.append(describe(detection, name, "only here"))
        else:
            tally.same += 1
            tally.score_difference = max(tally.score_difference, abs(partner.score - detection.score))
    for detection in reference.detections:
        if nearest(result.detections, detection, reach) is None:
            tally.listed.append(describe(detection, name, "only in the reference"))


def describe(detection: Detection, name: str, place: str) -> str:
    """One detection without a partner."""
    return f"{name} ({detection.row:.0f}, {detection.col:.0f}), score {detection.score:.3f}, {place}"


def nearest(detections: Sequence[Detection], wanted: Detection, reach: float) -> Detection | None:
    """A detection within `reach` px of both coordinates."""
    near = (d for d in detections if abs(d.row - wanted.row) <= reach and abs(d.col - wanted.col) <= reach)
    return next(near, None)


@contextmanager
def without_native(*, is_off: bool) -> Iterator[None]:
    """The native kernel out of reach, as on a machine without a compiler."""
    before = os.environ.get(library.SWITCH)
    if is_off:
        os.environ[library.SWITCH] = "0"
    try:
        yield
    finally:
        os.environ.pop(library.SWITCH, None)
        if before is not None:
            os.environ[library.SWITCH] = before


def table(tallies: dict[str, Tally], model: Model, fields: int) -> Iterator[str]:
    """Lines of markdown."""
    yield describe_machine()
    yield ""
    yield (
        f"{model.card.name} {model.card.version}, {fields} fields of all cases, each by the fold that never saw its "
        f"case, stride {model.card.stride}, tissue everywhere."
    )
    yield ""
    yield from rows(tallies, REFERENCE)


def rows(tallies: dict[str, Tally], reference: str) -> Iterator[str]:
    """The table of what each form finds, and what has no partner in the reference."""
    yield f"| form | detections | same as {reference} | largest difference of a score | of a map value |"
    yield "|---|---|---|---|---|"
    for name, tally in tallies.items():
        differences = f"{tally.score_difference:.1e} | {tally.map_difference:.1e}"
        yield f"| {name} | {tally.detections} | {tally.same} | {differences} |"
    for name, tally in tallies.items():
        if tally.listed:
            yield from ("", f"{name}, without a partner:", "", *(f"- {line}" for line in tally.listed))


if __name__ == "__main__":
    main()
