"""The commands `train` and `evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import DEFAULT_MODEL, Model, load_folds
from scanner.command import DeviceOption, MppOption, StrideOption, ThresholdOption, errors, fail_cleanly, open_model
from scanner.evaluation.matching import MITOS14, RULES

if TYPE_CHECKING:
    from scanner.evaluation.cutouts import FoundFigures

DataOption = Annotated[Path, typer.Option("--data", help="Folder with the labelled fields.")]


def train_command(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a TOML file.")],
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write.")],
    device: DeviceOption = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Go on from this file if it is there, and save to it.")
    ] = None,
) -> None:
    """Train a network on labelled fields by dense learning; writes card.toml and model.safetensors.

    Example: mitoscan train models/zoo/mitosis-1/recipe.toml --data data/ -o my-model/
    """
    from scanner.training.loop import TrainingProgress, TrainSettings
    from scanner.training.recipe import read_recipe
    from scanner.training.train import train

    def show(progress: TrainingProgress) -> None:
        mined = f", {progress.mined} hard negatives" if progress.mined else ""
        errors.print(f"step {progress.step} of {progress.steps}: loss {progress.loss:.4f}{mined}")

    settings = TrainSettings(device=device, checkpoint=checkpoint)
    fail_cleanly(lambda: train(read_recipe(recipe), data, out, settings=settings, on_progress=show))
    typer.echo(out)


def evaluate_command(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for evaluation.json and its tables.")],
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a model folder.")] = DEFAULT_MODEL,
    cases: Annotated[str | None, typer.Option(help="Cases to score, with commas between; all if left out.")] = None,
    rule: Annotated[str, typer.Option(help=f"Matching rule: {', '.join(RULES)}.")] = MITOS14.name,
    field_mpp: Annotated[float, typer.Option(help="Micrometres per pixel of the fields.")] = 0.2274,
    mpp: MppOption = None,
    threshold: ThresholdOption = None,
    stride: StrideOption = None,
    device: DeviceOption = "auto",
    folds: Annotated[
        bool, typer.Option("--folds/--no-folds", help="Score cases by weights that were trained without them.")
    ] = True,
    figures: Annotated[Path | None, typer.Option(help="Folder of cut-out figures: recall on slides held out.")] = None,
) -> None:
    """Score a model on labelled fields: F1, precision, recall, AP, per case, with an interval by case.

    Example: mitoscan evaluate mitosis-1 --data data/mitos14 --cases H03,H11 -o evaluation/
    """
    from scanner.evaluate import evaluate, write_evaluation
    from scanner.training.fields import read_fields

    if rule not in RULES:
        raise typer.BadParameter(f"{rule!r}; known: {', '.join(RULES)}", param_hint="--rule")
    loaded = open_model(model)
    fields = fail_cleanly(lambda: read_fields(data, mpp=field_mpp))
    wanted = None if cases is None else set(cases.split(","))
    chosen = [field for field in fields if wanted is None or field.case in wanted]
    if not chosen:
        known = ", ".join(sorted({field.case for field in fields}))
        raise typer.BadParameter(f"{cases!r} names none of the cases {known}", param_hint="--cases")
    evaluation = fail_cleanly(
        lambda: evaluate(
            loaded,
            chosen,
            rule=RULES[rule],
            folds=load_folds(model) if folds else (),
            on_progress=lambda done, total: errors.print(f"field {done} of {total}"),
            mpp=mpp or field_mpp,
            threshold=threshold,
            stride=stride,
            device=device,
        )
    )
    if evaluation.seen:
        errors.print(f"trained on, so no measure of new slides: {', '.join(evaluation.seen)}")
    if figures is not None:
        evaluation = replace(evaluation, cutouts=fail_cleanly(lambda: _score_figures(loaded, figures, device)))
    write_evaluation(out, evaluation)
    pooled = evaluation.report()["pooled"]
    typer.echo(f"{RULES[rule]}; threshold {evaluation.threshold:.3f}; {pooled}")


def _score_figures(model: Model, folder: Path, device: str) -> tuple[FoundFigures, ...]:
    """Recall on the cut-out figures of slides that the model was not trained on; on all if its card names none."""
    from scanner.evaluation.cutouts import score_cutouts
    from scanner.training.fields import read_figures, split_by_slide

    training = model.card.training
    figures = read_figures(folder, mpp=training.get("figures_mpp", model.card.mpp))
    held_out = split_by_slide(figures, training.get("figures_held_out", 0))[1]
    return score_cutouts(model, held_out or figures, MITOS14, device=device)
