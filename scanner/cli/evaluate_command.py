"""The command `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer

from models import DEFAULT_MODEL, Model, ModelCard, load_folds
from scanner.cli.evaluation_summary import summary_of
from scanner.cli.options import (
    BackgroundOption,
    DataOption,
    DeviceOption,
    MppOption,
    StrideOption,
    ThresholdOption,
    errors,
    fail_cleanly,
    find_folder,
    open_model,
    say_assumption,
)
from scanner.evaluation.rules import MITOS14, RULES, Rule
from scanner.settings import SettingsKeywords

if TYPE_CHECKING:
    from scanner.evaluation.cutouts import ScoredCutouts
    from scanner.evaluation.points import ScoredPoints
    from scanner.evaluation.report import Evaluation
    from scanner.labels.fields import LabelledField


class _OwnLabels(TypedDict):
    """What the labels of a data folder are, beside what the model's card says."""

    mpp: float
    values: tuple[int, ...]
    boxes: str


def evaluate_command(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for evaluation.json and its tables.")],
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a model folder.")] = DEFAULT_MODEL,
    cases: Annotated[str | None, typer.Option(help="Cases to score, comma-separated; by default all.")] = None,
    rule: Annotated[str, typer.Option(help=f"Matching rule: {', '.join(RULES)}.")] = MITOS14.name,
    field_mpp: Annotated[
        float | None,
        typer.Option(help="Micrometres per pixel of the fields; by default that of the training fields."),
    ] = None,
    label_values: Annotated[
        str | None,
        typer.Option(help="Value of each class in label images, comma-separated; as in training by default."),
    ] = None,
    boxes: Annotated[
        str,
        typer.Option(help="COCO boxes as corners or size; by default as in training, or as the file states."),
    ] = "",
    mpp: MppOption = None,
    threshold: ThresholdOption = None,
    stride: StrideOption = None,
    device: DeviceOption = "auto",
    folds: Annotated[
        bool, typer.Option("--folds/--no-folds", help="Score each case with weights that were trained without it.")
    ] = True,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder of cut-out figures: recall on scanners, or slides, that were held out."),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(help="Folder of fields, of another organ for one, of which only some points are labelled."),
    ] = None,
    points_mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel of those fields; by default the model card's.")
    ] = None,
    background: BackgroundOption = True,
) -> None:
    """Score a model on labelled fields, by case, and on other scanners and organs; or errors of a segmentation.

    Example: mitoscan evaluate mitosis-2 --data data/mitos14 --cases H03,H11 -o evaluation/
    """
    if rule not in RULES:
        raise typer.BadParameter(f"{rule!r}; known: {', '.join(RULES)}", param_hint="--rule")
    find_folder(data)
    loaded = open_model(model)
    trained_on = loaded.card.training
    values = _whole_numbers(label_values) or tuple(trained_on.get("label_values", ()))
    fields_mpp = field_mpp or mpp or trained_on.get("fields_mpp")
    if fields_mpp is None:
        say_assumption(str(data), fields_mpp := loaded.card.mpp, option="--field-mpp")
    boxes = boxes or trained_on.get("boxes", "")
    chosen = fail_cleanly(lambda: _labelled(data, loaded.card, cases, mpp=fields_mpp, values=values, boxes=boxes))
    settings = SettingsKeywords(threshold=threshold, stride=stride, device=device, background=background)
    if mpp is not None:
        settings["mpp"] = mpp
    if loaded.card.task == "segmentation":
        fail_cleanly(lambda: _evaluate_segmentation(loaded, chosen, out, settings))
    elif len(loaded.card.mapped) > 1:
        fail_cleanly(lambda: _evaluate_classes(loaded, chosen, out, rule=RULES[rule], settings=settings))
    else:
        used = fail_cleanly(lambda: load_folds(model)) if folds else ()
        evaluation = fail_cleanly(lambda: _evaluate(loaded, chosen, used, rule=RULES[rule], settings=settings))
        if figures is not None:
            cutouts = fail_cleanly(lambda: _score_figures(loaded, used, figures, settings))
            evaluation = replace(evaluation, cutouts=cutouts)
        if points is not None:
            of_points = fail_cleanly(lambda: _score_points(loaded, points, points_mpp, evaluation.rule, settings))
            evaluation = replace(evaluation, points=of_points)
        _write(out, evaluation)


def _show(done: int, total: int) -> None:
    errors.print(f"field {done} of {total}")


def _evaluate(
    model: Model, fields: list[LabelledField], folds: Sequence[Model], *, rule: Rule, settings: SettingsKeywords
) -> Evaluation:
    """One kind of figure; cases that the model was trained on by folds that were not."""
    from scanner.evaluation.evaluate import evaluate

    evaluation = evaluate(model, fields, rule=rule, folds=folds, on_progress=_show, **settings)
    if evaluation.seen:
        errors.print(f"trained on these cases, so no measure of new slides: {', '.join(evaluation.seen)}")
    return evaluation


def _evaluate_classes(
    model: Model, fields: list[LabelledField], out: Path, *, rule: Rule, settings: SettingsKeywords
) -> None:
    """Several classes, each in a folder of its own."""
    from scanner.evaluation.classes import evaluate_classes

    for name, evaluation in evaluate_classes(model, fields, rule=rule, on_progress=_show, **settings).items():
        typer.echo(name)
        _write(out / name, evaluation)


def _write(out: Path, evaluation: Evaluation) -> None:
    from scanner.evaluation.report import write_evaluation

    report = write_evaluation(out, evaluation)
    typer.echo(f"{evaluation.rule}; threshold {evaluation.threshold:.3f}; {report['pooled']}")
    for line in summary_of(report):
        typer.echo(line)


def _evaluate_segmentation(model: Model, fields: list[LabelledField], out: Path, settings: SettingsKeywords) -> None:
    from scanner.evaluation.segmentations import evaluate_segmentation, write_segmentation_evaluation

    segmented = evaluate_segmentation(model, fields, on_progress=_show, **settings)
    write_segmentation_evaluation(out, segmented)
    typer.echo(f"threshold {segmented.threshold:.3f}; {segmented.report()['mean']}")


def _score_figures(
    model: Model, folds: Sequence[Model], folder: Path, settings: SettingsKeywords
) -> tuple[ScoredCutouts, ...]:
    """Cut-out figures of scanners that a fold held out, by that fold; else of slides that the model held out."""
    from scanner.evaluation.cutouts import score_unseen_cutouts
    from scanner.labels.fields import read_figures

    figures = read_figures(folder, mpp=model.card.training.get("figures_mpp", model.card.mpp))
    scored = score_unseen_cutouts(model, folds, figures, MITOS14, **settings)
    left_out = sorted({one.source for one in figures} - {one.scanner for one in scored})
    if left_out:
        errors.print(f"cut-out figures not scored, for all slides of these scanners were seen: {', '.join(left_out)}")
    return scored


def _score_points(
    model: Model, folder: Path, mpp: float | None, rule: Rule, settings: SettingsKeywords
) -> tuple[ScoredPoints, ...]:
    """Points-only fields, by the model itself."""
    from scanner.evaluation.points import score_points
    from scanner.labels.points import read_points_fields

    if mpp is None:
        say_assumption(str(folder), mpp := model.card.mpp, option="--points-mpp")
    return score_points(model, read_points_fields(folder, mpp=mpp), rule, **settings)


def _labelled(data: Path, card: ModelCard, cases: str | None, **own: Unpack[_OwnLabels]) -> list[LabelledField]:
    """The labelled fields of the cases named, whatever form the labels have."""
    from scanner.labels.folder import LabelRules, read_labelled

    channels = card.normalisation.pixel_channels
    rules = LabelRules(own["mpp"], card.classes, card.task, own["values"], channels, own["boxes"])
    fields = read_labelled(data, rules)
    wanted = None if cases is None else set(cases.split(","))
    chosen = [field for field in fields if wanted is None or field.case in wanted]
    if not chosen:
        known = ", ".join(sorted({field.case for field in fields}))
        raise typer.BadParameter(f"{cases!r} names none of the cases {known}", param_hint="--cases")
    return chosen


def _whole_numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in text.split(",")) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers", param_hint="--label-values") from error
