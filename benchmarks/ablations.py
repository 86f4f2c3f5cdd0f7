"""What each ingredient of the detector is worth: the recipe with one thing changed, trained and scored case by case.

    python -m benchmarks.ablations --data data --out runs/ablations [--only "patch loss" ...]
    python -m benchmarks.ablations --out runs/ablations --table

Every variant is a short training of two folds, each on the cases of the other, so that all seven cases are scored by
weights that never saw them; each case at the threshold that the other cases choose. A variant that is there already is
not trained again. Short trainings on half of the cases are no match for the shipped one: compare rows with one another,
and take the second seed for how much chance moves a row.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models import Model, load_model
from models.card import CARD_NAME
from models.joining import join_models
from models.normalisation import NormalisationKind
from models.sources import ZOO
from scanner.evaluation.evaluate import score_by_scan
from scanner.evaluation.matching import ScoredField
from scanner.evaluation.report import Evaluation
from scanner.inference.engine import choose_network
from scanner.training.loop import TrainingProgress, TrainSettings
from scanner.training.recipe import Augmentation, Recipe, read_recipe
from scanner.training.train import read_recipe_fields, train

GROUPS = (("H04", "H11", "H17"), ("H03", "H07", "H12", "H15"))
STEPS = 400
#: Crops are turned and mirrored, and nothing else.
NO_AUGMENTATION = Augmentation(
    scale=(1.0, 1.0), exchange=0, exchange_figures=0, mixing=0, shift=0, statistics=0, coarse=0, blur=0, noise=0, jpeg=0
)
#: The network at half the resolution: one halving less, about the same field.
HALF = {"stem": 24, "stem_kernel": 4, "stages": [48], "head": 96, "patch_size": 42, "dropout": 0.2}


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    #: What differs from the first row.
    changes: dict[str, Any] = field(default_factory=dict)
    #: Variants whose networks are averaged, fold by fold, instead of a training of its own.
    columns: tuple[str, ...] = ()
    #: Whether the slide's background is taken off the scores.
    background: bool = True


VARIANTS = {
    "the recipe": Variant(),
    "another seed": Variant({"seed": 1}),
    "patch loss": Variant({"outputs": 1}),
    "no hard negatives": Variant({"mining": ()}),
    "no augmentation": Variant({"augmentation": NO_AUGMENTATION}),
    "no cut-outs of other scanners": Variant({"figures": ""}),
    "no stain normalisation": Variant({"normalisation": NormalisationKind.AFFINE}),
    "0.5 um per pixel": Variant(
        {"mpp": 0.5, "network_stride": 4, "arguments": HALF, "augmentation": Augmentation(jitter_px=4.0)}
    ),
    "no background calibration": Variant(columns=("the recipe",), background=False),
    "committee of two seeds": Variant(columns=("the recipe", "another seed")),
}


def recipe_of(variant: Variant) -> Recipe:
    """The shipped recipe, shortened, with what the variant changes."""
    shipped = read_recipe(ZOO / "mitosis-1" / "recipe.toml")
    short = replace(shipped, steps=STEPS, fold_steps=None, folds=(), mining=(0.5,), mining_thinning=4)
    return replace(short, **variant.changes)


def train_fold(name: str, cases: tuple[str, ...], data: Path, out: Path) -> Model:
    """The network of a variant that was trained without `cases`; read if it is there."""
    folder = out / name.replace(" ", "-") / "-".join(cases)
    if (folder / CARD_NAME).is_file():
        return load_model(folder)

    def show(progress: TrainingProgress) -> None:
        print(f"{name}, without {'-'.join(cases)}: step {progress.step}, loss {progress.loss:.3f}", flush=True)

    settings = TrainSettings(checkpoint=folder / "training.checkpoint", report_every=100)
    return train(recipe_of(VARIANTS[name]).fold(cases), data, folder, settings=settings, on_progress=show)


def network_of(name: str, cases: tuple[str, ...], data: Path, out: Path) -> Model:
    """The network that scores `cases`: trained, or averaged of others."""
    columns = [train_fold(column, cases, data, out) for column in VARIANTS[name].columns or (name,)]
    return columns[0] if len(columns) == 1 else join_models(columns, name)


def score_variant(name: str, data: Path, out: Path) -> dict[str, Any]:
    """Train what is missing, scan all fields, and write the figures as JSON."""
    start = time.process_time()
    fields = read_recipe_fields(recipe_of(VARIANTS[name]), data)
    scored: list[ScoredField] = []
    for cases in GROUPS:
        model = network_of(name, cases, data, out)
        own = [one for one in fields if one.case in cases]
        scored += [score_by_scan(model, one, background=VARIANTS[name].background) for one in own]
    report = Evaluation(model, tuple(scored), model.card.threshold).report()
    report["flops_per_px"] = cost_of(model)
    report["processor_seconds"] = round(time.process_time() - start, 1)
    (out / f"{name.replace(' ', '-')}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def cost_of(model: Model) -> float:
    """Floating-point operations of the scan for every pixel of 0.25 um, at the stride of the card."""
    stride = model.card.stride
    per_position = choose_network(model, stride=stride).graph.flops_per_output(stride)
    return float(per_position / stride**2 * (0.25 / model.card.mpp) ** 2)


def table(out: Path) -> Iterator[str]:
    """The Markdown table of the variants that are there."""
    yield f"| {STEPS} steps | F1 | 95 % interval | with its own best thresholds | AP | kFLOP per px |"
    yield "|---|---|---|---|---|---|"
    for name in VARIANTS:
        path = out / f"{name.replace(' ', '-')}.json"
        if path.is_file():
            yield row(name, json.loads(path.read_text(encoding="utf-8")))


def row(name: str, report: dict[str, Any]) -> str:
    """One line of the table."""
    moved = report["thresholds_of_other_cases"]
    low, high = moved["f1_interval_by_case"]
    return (
        f"| {name} | {moved['f1']:.3f} | {low:.3f} to {high:.3f} | {moved['f1_with_best_threshold_per_case']:.3f}"
        f" | {report['pooled']['average_precision']:.3f} | {report['flops_per_px'] / 1000:.1f} |"
    )


def main() -> None:
    """Train and score the variants asked for, or print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--table", action="store_true", help="print the table of what was scored before")
    options = parser.parse_args()
    if not options.table:
        if options.data is None:
            parser.error("--data is needed for training; or ask for --table")
        for name in options.only:
            print(row(name, score_variant(name, options.data, options.out)), flush=True)
        return
    print("\n".join(table(options.out)))


if __name__ == "__main__":
    main()
