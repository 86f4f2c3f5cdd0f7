"""`mitoscan import` and `committee`: write a model folder for an imported network, or for several models."""

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
    name: Annotated[str | None, typer.Option(help="Name of the model; by default the folder's.")] = None,
    mpp: Annotated[float | None, typer.Option(help="Micrometres per pixel of the network's input.")] = None,
    patch_size: Annotated[
        int | None, typer.Option(help="Side of its patches, px; the longer side of rectangular ones.")
    ] = None,
    patch_shape: Annotated[
        tuple[int, int] | None, typer.Option(help="Rows and columns of rectangular patches.")
    ] = None,
    classes: Annotated[str, typer.Option(help="Its classes in order, comma-separated.")] = "background,mitosis",
    target: Annotated[str | None, typer.Option(help="The class to detect; by default the last.")] = None,
    channels: Annotated[
        int, typer.Option(min=1, help="1: grey, 3: red, green and blue, else so many channels of the file.")
    ] = 3,
    mean: Annotated[
        str,
        typer.Option(help="Subtracted from values of 0 to 1: one number, or one per channel, comma-separated."),
    ] = "0.5",
    std: Annotated[str, typer.Option(help="Divisor after the subtraction, in the same form.")] = "0.5",
    channel_order: Annotated[str, typer.Option(help='"RGB" or "BGR".')] = "RGB",
    scores: Annotated[str, typer.Option(help='Output of the network: "logits" or "probabilities".')] = "logits",
    output: Annotated[str | None, typer.Option(help="Which output, if there are several: position or name.")] = None,
    stride: Annotated[int, typer.Option(help="Distance of two scanned positions, px.")] = 4,
    threshold: Annotated[float, typer.Option(help="Lowest score of a detection.")] = 0.5,
    radius_um: Annotated[float, typer.Option(help="Smallest distance of two detections, um.")] = 7.5,
    weights: Annotated[Path | None, typer.Option(help="State dict of a network given by name.")] = None,
) -> None:
    """Write a model folder for a network of another program, with all that is needed to run it.

    Example: mitoscan import net.onnx -o mymodel --mpp 0.25 --patch-size 64
    """
    if Path(source).is_dir():
        fail_cleanly(lambda: import_bundle(Path(source), out))
    else:
        side = patch_size or (max(patch_shape) if patch_shape else None)
        if mpp is None or side is None:
            raise failure(f"{source} does not say its mpp and patch size; pass --mpp and --patch-size")
        names = tuple(part.strip() for part in classes.split(","))
        means, stds = _numbers(mean, channels, "--mean"), _numbers(std, channels, "--std")
        card = fail_cleanly(
            lambda: ModelCard(
                name=name or out.name,
                version="1",
                architecture="",
                arguments=_adaptation(patch_shape, channel_order, scores, output),
                patch_size=side,
                mpp=mpp,
                classes=names,
                target=target or names[-1],
                normalisation=Normalisation(mean=means, std=stds),
                stride=stride,
                threshold=threshold,
                radius_um=radius_um,
            )
        )
        fail_cleanly(lambda: import_model(source, card, out, weights=weights))
    loaded = open_model(out)
    typer.echo(f"{out}: {loaded.card.name}, {_how(loaded, loaded.card.stride)}")


def committee_command(
    models: Annotated[list[str], typer.Argument(help="The models (columns): names, folders or files, as for scan.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the committee; by default the folder's.")] = None,
    symmetries: Annotated[int, typer.Option(help="8: also average over rotated and mirrored patches.")] = 1,
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


def _adaptation(
    patch_shape: tuple[int, int] | None, channel_order: str, scores: str, output: str | None
) -> dict[str, Any]:
    """How the network's input and output differ from what a scan expects; empty if they do not."""
    adaptation: dict[str, Any] = {
        "patch_shape": list(patch_shape) if patch_shape else None,
        "channel_order": channel_order,
        "scores": scores,
        "output": int(output) if output is not None and output.isdigit() else output,
    }
    return {key: value for key, value in adaptation.items() if value not in (None, "RGB", "logits")}


def _numbers(text: str, channels: int, option: str) -> tuple[float, ...]:
    """One number for each channel."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of numbers", param_hint=option) from error
    values = values * channels if len(values) == 1 else values
    if len(values) != channels:
        raise typer.BadParameter(f"{text!r} has {len(values)} numbers for {channels} channels", param_hint=option)
    return values


def _how(model: Model, stride: int) -> str:
    """How a model runs and what it costs, in words."""
    from scanner.inference.engine import choose_network, describe_network

    try:
        return describe_network(choose_network(model, stride=stride))
    except InexactLayerError as refusal:
        return f"patch by patch only: {refusal}"
