"""How recipes travel: models of several seeds each, on cases, scanners and an organ that they were not trained on.

    python -m benchmarks.transfer --out runs/transfer --data data [--train] [--every 4] [--only ROW ...]

`OUT/<row>/s<seed>/` are finished model folders, each with its `folds/`; with `--train`, those of
`benchmarks.transfer_rows` are trained as far as they are not there, in hours of a processor. In each, every case, and
every scanner of cut-out figures, is scored by the fold that was trained without it. A model is scored once: what was
found lies in its folder, and is scored again only if its weights are others. Prints a Markdown table, and keeps it in
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ablations import cost_of
from benchmarks.transfer_rows import MINUTES_NAME, SEEDS, STEPS, folder_name, train_rows
from benchmarks.transfer_rows import rows as rows_of
from models import Model, load_folds, load_model
from models.card import CARD_NAME
from scanner.evaluation.cutouts import ScoredCutouts, score_unseen_cutouts
from scanner.evaluation.evaluate import evaluate
from scanner.evaluation.folds import fold_without
from scanner.evaluation.intervals import interval_of_share
from scanner.evaluation.points import ScoredPoints, score_points
from scanner.evaluation.rules import MITOS14
from scanner.files.atomic import write_text
from scanner.labels.cases import patient_of
from scanner.labels.fields import list_cases, read_fields, read_figures
from scanner.labels.points import read_points_fields

RESULTS = Path(__file__).parent / "results"
#: Sub-folders of the data folder: fields, the same patient on a second scanner, cut-outs, and another organ.
FIELDS, TWINS, FIGURES, POINTS = "mitos14", "mitos14_aperio", "amibr", "glioma_mdc"
#: Micrometres per pixel of those that no model card states; of the other organ it is a guess.
TWINS_MPP, POINTS_MPP = 0.2455, 0.25
#: Another number scores every model again: what is measured has changed.
PROTOCOL = 1
COLUMNS = (
    "recipe",
    "seeds",
    "F1 at thresholds of other cases (spread)",
    "95 % interval",
    "AP",
    "worst case F1",
    "second scanner F1",
    "recall per scanner left out: worst",
    "mean",
    "other organ AP",
    "wrong per mm2",
    "other organ",
    "kFLOP per px",
    "minutes",
)


def find_models(out: Path, rows: Sequence[str] = ()) -> dict[str, list[Path]]:
    """The finished model folders of each row, seeds in order; those without a card are not finished."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(out.glob("*/s*")):
        if rows and folder.parent.name not in {folder_name(name) for name in rows}:
            continue
        if (folder / CARD_NAME).is_file():
            found.setdefault(folder.parent.name, []).append(folder)
        else:
            print(f"{folder}: not finished, left out", file=sys.stderr)
    return found


def score_model(folder: Path, data: Path, *, every: int = 1, device: str = "auto") -> dict[str, Any]:
    """What a model finds, read from its folder if these weights were scored there before."""
    model, folds = load_model(folder), load_folds(folder)
    of = {"protocol": PROTOCOL, "every": every, "sha256": [one.card.sha256 for one in (model, *folds)]}
    path = folder / f"transfer-{every}.json"
    if path.is_file():
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["of"] == of:
            return known
    print(f"scoring {folder}", file=sys.stderr, flush=True)
    scored = {"of": of} | _score(folder, data, every=every, device=device)
    write_text(path, json.dumps(scored, indent=2) + "\n")
    return scored


def _minutes_of(folder: Path) -> float | None:
    """How long the trainings of a row took, if that was measured."""
    path = folder / MINUTES_NAME
    return float(path.read_text(encoding="utf-8")) if path.is_file() else None


def _score(folder: Path, data: Path, *, every: int, device: str) -> dict[str, Any]:
    model, folds = load_model(folder), load_folds(folder)
    fields = read_fields(data / FIELDS, mpp=model.card.training["fields_mpp"])[::every]
    evaluation = evaluate(model, fields, folds=folds, device=device)
    cutouts, is_left_out = _score_figures(model, folds, data / FIGURES, every=every, device=device)
    evaluation = replace(evaluation, cutouts=cutouts, points=_score_points(model, data / POINTS, every, device))
    twins = read_fields(data / TWINS, mpp=TWINS_MPP)[::every]
    return {
        "report": evaluation.report(),
        "second_scanner": evaluate(model, twins, folds=folds, device=device).report(),
        "scanners_left_out": is_left_out,
        "flops_per_px": cost_of(model),
        "minutes": _minutes_of(folder),
    }


def _score_figures(
    model: Model, folds: Sequence[Model], folder: Path, *, every: int, device: str
) -> tuple[tuple[ScoredCutouts, ...], bool]:
    """Every so many-th slide of each scanner, and whether folds were trained without these scanners."""
    figures = read_figures(folder, mpp=model.card.training.get("figures_mpp", model.card.mpp))
    scanners = sorted({one.source for one in figures})
    slides = {scanner: list_cases(one for one in figures if one.source == scanner)[::every] for scanner in scanners}
    chosen = [one for one in figures if one.case in slides[one.source]]
    is_left_out = any(fold_without(folds, scanner) for scanner in scanners)
    return score_unseen_cutouts(model, folds, chosen, MITOS14, device=device), is_left_out


def _score_points(model: Model, folder: Path, every: int, device: str) -> tuple[ScoredPoints, ...]:
    return score_points(model, read_points_fields(folder, mpp=POINTS_MPP)[::every], MITOS14, device=device)


def summarise(scored: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of one row, and the interval of the mean seed: patients are resampled, seeds are not."""
    reports = [one["report"] for one in scored]
    transfers = [one["thresholds_of_other_cases"] for one in reports]
    f1 = [one["f1"] for one in transfers]
    recalls = [[found["recall"] for found in one["cut_out_figures"].values()] for one in reports]
    minutes = [one["minutes"] for one in scored if one["minutes"] is not None]
    return {
        "seeds": len(scored),
        "f1": _mean(f1),
        "f1_spread": max(f1) - min(f1),
        "f1_interval": list(_interval_of_mean([one["cases"] for one in transfers])),
        "average_precision": _mean([one["pooled"]["average_precision"] for one in reports]),
        "worst_case_f1": _mean([_worst(one["cases"]) for one in transfers]),
        "second_scanner_f1": _mean([one["second_scanner"]["pooled"]["f1"] for one in scored]),
        "worst_scanner_recall": _mean([min(own) for own in recalls]),
        "mean_scanner_recall": _mean([_mean(own) for own in recalls]),
        "scanners_left_out": all(one["scanners_left_out"] for one in scored),
        "other_organ_average_precision": _mean([one["points_only"]["average_precision"] for one in reports]),
        "unlabelled_per_mm2": _mean([one["unlabelled_tissue"]["unlabelled_per_mm2"] for one in reports]),
        "other_organ_per_mm2": _mean([one["points_only"]["unlabelled_per_mm2"] for one in reports]),
        "kflops_per_px": _mean([one["flops_per_px"] / 1000 for one in scored]),
        "minutes": _mean(minutes) if minutes else None,
        "seen_in_training": sorted({case for one in reports for case in one["seen_in_training"]}),
    }


def _interval_of_mean(seeds: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Interval of the mean F1 of the seeds, each case at the threshold of the others."""
    patients = sorted({patient_of(case) for case in seeds[0]})
    sums = {
        key: [
            [sum(one[key] for case, one in cases.items() if patient_of(case) == own) for own in patients]
            for cases in seeds
        ]
        for key in ("right", "wrong", "figures")
    }
    parts = [[2 * right for right in of_seed] for of_seed in sums["right"]]
    wholes = [[sum(one) for one in zip(*of_seed, strict=True)] for of_seed in zip(*sums.values(), strict=True)]
    return interval_of_share(parts, wholes)


def _worst(cases: dict[str, Any]) -> float:
    return float(min(one["f1"] for one in cases.values() if one["figures"]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The Markdown table of summaries."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for name, row in rows.items():
        low, high = row["f1_interval"]
        seen = "" if row["scanners_left_out"] else " (slides left out, not scanners)"
        cells = (
            name + (f" (trained on {', '.join(row['seen_in_training'])})" if row["seen_in_training"] else ""),
            str(row["seeds"]),
            f"{row['f1']:.3f} ({row['f1_spread']:.3f})",
            f"{low:.3f} to {high:.3f}",
            *(f"{row[key]:.3f}" for key in ("average_precision", "worst_case_f1", "second_scanner_f1")),
            f"{row['worst_scanner_recall']:.3f}{seen}",
            *(f"{row[key]:.3f}" for key in ("mean_scanner_recall", "other_organ_average_precision")),
            *(f"{row[key]:.2f}" for key in ("unlabelled_per_mm2", "other_organ_per_mm2")),
            f"{row['kflops_per_px']:.1f}",
            "" if row["minutes"] is None else f"{row['minutes']:.0f}",
        )
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Score what was not scored yet, print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the rows: OUT/<row>/s<seed>/")
    parser.add_argument("--data", type=Path, required=True, help=f"holds {FIELDS}, {TWINS}, {FIGURES} and {POINTS}")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th field, and slide of cut-outs")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for transfer.md and transfer.json")
    parser.add_argument("--train", action="store_true", help="train the rows that are not there")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training")
    options = parser.parse_args()
    if options.train:
        wanted = {name: one for name, one in rows_of(options.steps).items() if not options.only or name in options.only}
        train_rows(options.out, options.data, wanted, options.seeds, device=options.device)
    rows = {}
    for name, folders in find_models(options.out, options.only).items():
        scored = [score_model(one, options.data, every=options.every, device=options.device) for one in folders]
        rows[name] = summarise(scored)
    lines = (
        [f"One field, and one slide of cut-outs, in {options.every}.", "", *table(rows)]
        if options.every > 1
        else list(table(rows))
    )
    print("\n".join(lines))
    options.results.mkdir(parents=True, exist_ok=True)
    write_text(options.results / "transfer.md", "\n".join(lines) + "\n")
    write_text(options.results / "transfer.json", json.dumps({"every": options.every, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
