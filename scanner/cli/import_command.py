"""`mitoscan import` and `committee`: a network from elsewhere, or several models, become a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from models import Model, load_folds, save_model
from models.card import ModelCard
from models.intake import import_bundle, import_model
from models.normalisation import Normalisation
from models.registry import FOLDS_NAME
from scanner.cli.options import fail_cleanly, failure, open_model
from scanner.errors import InexactLayerError


def import_command(
    source: Annotated[
        str, typer.Argument(help=".onnx, .pt2 or .pt file, WSInfer bundle, timm:NAME, torchvision:NAME.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; the folder's if left out.")] = None,
    mpp: Annotated[float | None, typer.Option(help="Micrometres per pixel of the network's input.")] = None,
    patch_size: Annotated[
        int | None, typer.Option(help="Side of its patches, px; the longer one of rectangles.")
    ] = None,
    patch_shape: Annotated[
        tuple[int, int] | None, typer.Option(help="Rows and columns of rectangular patches.")
    ] = None,
    classes: Annotated[str, typer.Option(help="Its classes, in order, with commas between.")] = "background,mitosis",
    target: Annotated[str | None, typer.Option(help="The class that is looked for; the last if left out.")] = None,
    channels: Annotated[
        int, typer.Option(min=1, help="1: grey, 3: red, green and blue, else so many channels of the file.")
    ] = 3,
    mean: Annotated[
        str, typer.Option(help="Subtracted from values of 0 to 1: one number, or one a channel, with commas.")
    ] = "0.5",
    std: Annotated[str, typer.Option(help="What is left is divided by this; given likewise.")] = "0.5",
    channel_order: Annotated[str, typer.Option(help='"RGB" or "BGR".')] = "RGB",
    scores: Annotated[str, typer.Option(help='What it returns: "logits" or "probabilities".')] = "logits",
    output: Annotated[str | None, typer.Option(help="Which output, of several: position or name.")] = None,
    stride: Annotated[int, typer.Option(help="Distance of two scanned positions, px.")] = 4,
    threshold: Annotated[float, typer.Option(help="Lowest score of a detection.")] = 0.5,
    radius_um: Annotated[float, typer.Option(help="Least distance of two detections.")] = 7.5,
    weights: Annotated[Path | None, typer.Option(help="State dict of a network given by name.")] = None,
) -> None:
    """Make a model folder of a network from elsewhere, with all that must be known to run it.

    Example: mitoscan import net.onnx -o mymodel --mpp 0.25 --patch-size 64
    """
    if Path(source).is_dir():
        fail_cleanly(lambda: import_bundle(Path(source), out))
    else:
        side = patch_size or (max(patch_shape) if patch_shape else None)
        if mpp is None or side is None:
            raise failure(f"{source} does not say its mpp and patch size; pass --mpp and --patch-size")
        names = tuple(part.strip() for part in classes.split(","))
        adaptation: dict[str, Any] = {
            "patch_shape": list(patch_shape) if patch_shape else None, "channel_order": channel_order, "scores": scores,
            "output": int(output) if output is not None and output.isdigit() else output,
        }  # fmt: skip
        adaptation = {key: value for key, value in adaptation.items() if value not in (None, "RGB", "logits")}
        means, stds = _numbers(mean, channels, "--mean"), _numbers(std, channels, "--std")
        card = fail_cleanly(
            lambda: ModelCard(
                name=name or out.name, version="1", architecture="", arguments=adaptation, patch_size=side, mpp=mpp,
                classes=names, target=target or names[-1], normalisation=Normalisation(mean=means, std=stds),
                stride=stride, threshold=threshold, radius_um=radius_um,
            )
        )  # fmt: skip
        fail_cleanly(lambda: import_model(source, card, out, weights=weights))
    loaded = open_model(out)
    typer.echo(f"{out}: {loaded.card.name}, {_how(loaded, loaded.card.stride)}")


def committee_command(
    models: Annotated[list[str], typer.Argument(help="The columns: names, folders, or files, as for scan.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the committee; the folder's if left out.")] = None,
    symmetries: Annotated[int, typer.Option(help="8: average over turned and mirrored patches too.")] = 1,
) -> None:
    """Average several models as one, each with its own preprocessing, scale and patch, in one pass over a slide.

    Example: mitoscan committee dannet-2013 other -o both
    """
    columns = [open_model(column) for column in models]
    from models.joining import join_folds, join_models

    joined = fail_cleanly(lambda: join_models(columns, name or out.name))
    card = fail_cleanly(lambda: replace(joined.card, symmetries=symmetries))
    fail_cleanly(lambda: save_model(out, replace(joined, card=card)))
    for fold in fail_cleanly(lambda: join_folds([load_folds(column) for column in models], joined.card.name)):
        folder = out / FOLDS_NAME / "-".join(fold.card.training["held_out"])
        save_model(folder, replace(fold, card=replace(fold.card, symmetries=symmetries)))
    for column in columns:
        typer.echo(f"column {column.card.name}: {_how(column, card.stride)}")
    typer.echo(f"{out}: {card.name}, {_how(open_model(out), card.stride)}")


def _numbers(text: str, channels: int, option: str) -> tuple[float, ...]:
    """One number for each channel."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} are no numbers", param_hint=option) from error
    values = values * channels if len(values) == 1 else values
    if len(values) != channels:
        raise typer.BadParameter(f"{text!r} are {len(values)} numbers for {channels} channels", param_hint=option)
    return values


def _how(model: Model, stride: int) -> str:
    """How a model runs and what it costs, in words."""
    from scanner.inference.engine import choose_network, describe_network

    try:
        return describe_network(choose_network(model, stride=stride))
    except InexactLayerError as refusal:
        return f"patch by patch only: {refusal}"
