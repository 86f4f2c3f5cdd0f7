"""The command `train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.options import DataOption, DeviceOption, errors, fail_cleanly, find_folder, open_model

if TYPE_CHECKING:
    from scanner.training.loop import TrainingProgress


def train_command(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a TOML file.")],
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write.")],
    device: DeviceOption = "auto",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to resume from, if there is one, and to write; by default in OUT."),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Report how much the result differs from this model: a shipped one, or a folder.")
    ] = None,
) -> None:
    """Train a network on labelled fields by dense learning; writes card.toml, model.safetensors and the curve.

    Example: mitoscan train models/zoo/mitosis-2/recipe.toml --data data/ -o my-model/
    """
    from scanner.training.recipe import checkpoint_name, read_recipe

    def show(progress: TrainingProgress) -> None:
        mined = f", {progress.mined} hard negatives" if progress.mined else ""
        errors.print(f"step {progress.step} of {progress.steps}: loss {progress.loss:.4f}{mined}")

    read = fail_cleanly(lambda: read_recipe(recipe))
    find_folder(data)
    from scanner.training.distance import measure_distance
    from scanner.training.loop import TrainSettings
    from scanner.training.train import read_recipe_fields, train

    own = out / checkpoint_name(read)
    settings = TrainSettings(device=device, checkpoint=checkpoint or own)
    trained = fail_cleanly(lambda: train(read, data, out, settings=settings, on_progress=show))
    own.unlink(missing_ok=True)
    if compare is not None:
        reference, fields = open_model(compare), fail_cleanly(lambda: read_recipe_fields(read, data))
        errors.print(f"{compare}: {measure_distance(trained, reference, fields, device=device)}")
    typer.echo(f"{out}: {trained.card.name} {trained.card.version}, threshold {trained.card.threshold:.3f}")
