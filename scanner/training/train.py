"""train: a recipe and a data folder -> a model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from models import Model, ModelCard, save_model
from models.families import build_network
from models.normalisation import Normalisation
from scanner.probability import choose_device
from scanner.training.batches import TrainingSet
from scanner.training.fields import (
    LabelledField,
    list_cases,
    read_field,
    read_fields,
    read_figures,
    split_by_case,
    split_by_slide,
)
from scanner.training.loop import OnProgress, TrainSettings, run_training, start_training
from scanner.training.recipe import Recipe
from scanner.training.sampling import make_pools
from scanner.training.stain import measure_stains, mix_stains


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
    device = choose_device(settings.device)
    training_set = load_training_set(recipe, data)
    torch.manual_seed(recipe.seed)
    net = build_network(recipe.architecture, recipe.arguments).to(device)
    state = start_training(net, training_set, recipe)
    trained = run_training(state, recipe, settings=settings, on_progress=on_progress)
    return save_model(out, Model(make_card(recipe, training_set), trained.cpu()))


def load_training_set(recipe: Recipe, data: Path) -> TrainingSet:
    """Fields, stains and pools of a recipe, without the cases held out."""
    labelled = read_fields(data / recipe.fields, mpp=recipe.fields_mpp)
    fields, _ = split_by_case(labelled, recipe.held_out)
    sizes = {index: read_field(one.path).shape[:2] for index, one in enumerate(fields)}
    if recipe.figures:
        fields += split_by_slide(read_figures(data / recipe.figures, mpp=recipe.figures_mpp), recipe.figures_held_out)[
            0
        ]
    return TrainingSet(fields, measure_stains(fields), make_pools(fields, sizes))


def make_card(recipe: Recipe, training_set: TrainingSet) -> ModelCard:
    """The card of a freshly trained model: everything but what is measured afterwards."""
    stain = mix_stains([training_set.stains.fields[index] for index in training_set.pools.sizes])
    reference = Normalisation(recipe.normalisation)
    if reference.needs_statistics:
        mean, std = (tuple(round(float(v), 4) for v in values) for values in (stain.mean, stain.std))
        reference = Normalisation(recipe.normalisation, mean, std)
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        architecture=recipe.architecture,
        arguments={key: list(v) if isinstance(v, tuple) else v for key, v in recipe.arguments.items()},
        patch_size=recipe.patch_size,
        mpp=recipe.mpp,
        normalisation=reference,
        stride=recipe.network_stride,
        training=_provenance(recipe, training_set.fields),
    )


def _provenance(recipe: Recipe, fields: tuple[LabelledField, ...]) -> dict[str, object]:
    labelled = [one for one in fields if not one.source]
    return {
        "data": [recipe.fields] + ([recipe.figures] if recipe.figures else []),
        "cases": list_cases(labelled),
        "held_out": list(recipe.held_out),
        "fields": len(labelled),
        "figures": sum(len(one.points) for one in labelled),
        "cut_out_figures": len(fields) - len(labelled),
        "figures_held_out": recipe.figures_held_out,
        "figures_mpp": recipe.figures_mpp,
        "crops": recipe.steps * recipe.batch_size,
        "seed": recipe.seed,
    }
