"""train: a recipe and a data folder -> a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from models import Model, ModelCard, ModelError, save_model
from models.card import CARD_NAME, with_choices
from models.normalisation import Normalisation
from models.registry import FOLDS_NAME
from scanner.devices.device import choose_device
from scanner.errors import SettingsError
from scanner.labels.fields import LabelledField, list_cases, read_figures, split_by_slide
from scanner.labels.folder import LabelRules, read_labelled
from scanner.labels.twins import read_twins
from scanner.slides.pixels.protocol import RGB
from scanner.training.domain import fit_domain
from scanner.training.loop import (
    OnProgress,
    TrainingProgress,
    TrainSettings,
    learning_rate,
    run_training,
    start_training,
)
from scanner.training.own_network import as_shipped, make_network, own_stride, trainable, trained
from scanner.training.recipe import Recipe
from scanner.training.records import TrainingRecord, hash_fields
from scanner.training.sampling import TrainingSet, make_pools
from scanner.training.stain import measure_stains, mix_stains
from scanner.training.tuning import tune


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    settings: TrainSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Model:
    """Train a network and write its model folder.

    Parameters
    ----------
    recipe : Recipe
    data : Path
        Holds the sub-folders that the recipe names.
    out : Path
        The model folder: card.toml and model.safetensors.
    settings : TrainSettings, optional
    on_progress : callable, optional
        Called with a TrainingProgress now and then.

    Returns
    -------
    Model
        On the CPU, in eval mode; its card has no measured figures yet.
    """
    settings = settings or TrainSettings()
    for cases in recipe.folds:
        _train_fold(recipe.fold(cases), data, out / FOLDS_NAME / "-".join(cases), settings, on_progress)
    device = choose_device(settings.device)
    torch.manual_seed(recipe.seed)
    net = make_network(recipe)
    recipe = recipe if recipe.network_stride else replace(recipe, network_stride=own_stride(net))
    training_set = load_training_set(recipe, data)
    record = TrainingRecord(out, steps=recipe.steps)

    def report(progress: TrainingProgress) -> None:
        record.add((progress.step, progress.loss, learning_rate(recipe, progress.step), progress.mined))
        if on_progress is not None:
            on_progress(progress)

    state = start_training(trainable(net, recipe).to(device), training_set, recipe)
    averaged = run_training(state, recipe, settings=settings, on_progress=report)
    record.finish()
    model = as_shipped(Model(make_card(recipe, training_set), trained(averaged).cpu()), recipe)
    tuning_fields = [field for field in read_recipe_fields(recipe, data) if field.case in recipe.tuned_on]
    return save_model(out, tune(model, tuning_fields, by_borders=recipe.tuned_by_borders, device=settings.device))


def read_recipe_fields(recipe: Recipe, data: Path) -> tuple[LabelledField, ...]:
    """All labelled fields of a recipe, those held out as well."""
    mpp = recipe.fields_mpp or recipe.mpp
    channels = recipe.reference.pixel_channels
    rules = LabelRules(mpp, recipe.classes, recipe.task, recipe.label_values, channels, recipe.boxes)
    return read_labelled(data / recipe.fields, rules)


def _train_fold(recipe: Recipe, data: Path, out: Path, settings: TrainSettings, on_progress: OnProgress | None) -> None:
    """Train the network of one fold, unless that is done; its checkpoint lies beside the model's own."""
    if (out / CARD_NAME).is_file():
        return
    own = settings.checkpoint
    checkpoint = None if own is None else own.with_name(f"{own.name}.{out.name}")
    train(recipe, data, out, settings=replace(settings, checkpoint=checkpoint), on_progress=on_progress)


def load_training_set(recipe: Recipe, data: Path) -> TrainingSet:
    """Fields, stains and pools of a recipe, without the cases and scanners held out.

    Raises
    ------
    SettingsError
        What is to be held out is no case and no scanner of the data.
    """
    fields = read_recipe_fields(recipe, data)
    figures = read_figures(data / recipe.figures, mpp=recipe.figures_mpp) if recipe.figures else ()
    held_out = {*recipe.held_out, *recipe.tuned_on}
    scanners = {one.source for one in figures} | ({recipe.twins_scanner} - {""})
    if recipe.twins_scanner and recipe.twins_scanner not in held_out:
        folders = (recipe.twin_fields, recipe.twin_figures)
        twins = read_twins(data, *folders, mpp=recipe.twins_mpp, scanner=recipe.twins_scanner, cases=list_cases(fields))
        fields, figures = fields + twins[0], figures + twins[1]
    if unknown := held_out - scanners - {one.case for one in fields}:
        raise SettingsError(
            f"no field of case {', '.join(sorted(unknown))}; cases: {', '.join(list_cases(fields))}; scanners of "
            f"cut-outs: {', '.join(sorted(scanners)) or 'none'}"
        )
    seen = [one for one in fields if not {one.case, one.source} & held_out]
    sizes = {index: one.read().shape[:2] for index, one in enumerate(seen)}
    known = [one for one in figures if not {one.case, one.source} & held_out]
    all_seen = (*seen, *split_by_slide(known, recipe.figures_held_out)[0])
    stains = measure_stains(all_seen) if recipe.channels == RGB else None
    return TrainingSet(all_seen, stains, make_pools(all_seen, sizes))


def make_card(recipe: Recipe, training_set: TrainingSet) -> ModelCard:
    """The card of a freshly trained model: everything but what is measured afterwards."""
    reference, stains = recipe.reference, training_set.stains
    if reference.needs_statistics and stains is not None:
        stain = mix_stains([stains.fields[index] for index in training_set.pools.sizes])
        mean, std = (tuple(round(float(v), 4) for v in values) for values in (stain.mean, stain.std))
        reference = Normalisation(recipe.normalisation, mean, std)
    card = ModelCard(
        name=recipe.name,
        version=recipe.version,
        architecture=recipe.architecture,
        arguments=recipe.card_arguments,
        patch_size=recipe.patch_size,
        mpp=recipe.mpp,
        classes=recipe.classes,
        target=recipe.classes[1],
        targets=recipe.classes[1:] if len(recipe.classes) > 2 else (),
        task=recipe.task,
        normalisation=reference,
        domain=fit_domain(training_set.fields, mpp=recipe.mpp) if stains is not None else None,
        stride=recipe.network_stride,
        training=_provenance(recipe, training_set.fields),
    )
    try:
        return with_choices(card, recipe.card)
    except ModelError as error:
        raise SettingsError(f"recipe: [card] {error}") from error


def _provenance(recipe: Recipe, fields: tuple[LabelledField, ...]) -> dict[str, object]:
    labelled = [one for one in fields if not one.source]
    return {
        "data": [recipe.fields or "."] + ([recipe.figures] if recipe.figures else []),
        "cases": list_cases(labelled),
        "held_out": list(recipe.held_out),
        "fields": len(labelled),
        "fields_mpp": recipe.fields_mpp or recipe.mpp,
        "figures": sum(len(one.points) for one in labelled),
        "cut_out_figures": len(fields) - len(labelled),
        "figures_held_out": recipe.figures_held_out,
        "figures_mpp": recipe.figures_mpp,
        "crops": recipe.steps * recipe.batch_size,
        "seed": recipe.seed,
        **({"label_values": list(recipe.label_values)} if recipe.label_values else {}),
        **({"boxes": recipe.boxes} if recipe.boxes else {}),
        "data_sha256": hash_fields(fields),
    }
