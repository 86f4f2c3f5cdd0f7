"""Several models as one: a committee of columns, each with its own preprocessing, scale and patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from models.card import ModelCard
from models.committee import Committee, View
from models.errors import CardError
from models.families import FAMILIES
from models.normalisation import NormalisationKind
from models.registry import Model

#: Two resolutions are multiples of each other if this share is all that is left over.
_MPP_TOLERANCE = 0.01


def join_models(models: Sequence[Model], name: str) -> Model:
    """A committee of these models, which reads a slide once, at the finest of their resolutions.

    Parameters
    ----------
    models : sequence of Model
        Of registered families, with the same classes; each mpp a multiple of the finest.
    name : str
        Name of the committee.

    Raises
    ------
    CardError
        They cannot be averaged; says why.
    """
    if len(models) < 2:
        raise CardError(f"a committee has at least 2 columns, not {len(models)}")
    first = min((model.card for model in models), key=lambda card: card.mpp)
    columns, views = [], []
    for model in models:
        view = _view(model.card, first)
        views.append(view)
        # A network of group convolutions runs, and joins, written out.
        architecture = "validnet" if model.card.is_equivariant else model.card.architecture
        columns.append({"architecture": architecture, "arguments": model.card.arguments, "view": _as_table(view)})
    nets = [model.net for model in models]
    committee = Committee(nets, views).eval()
    card = replace(
        first,
        name=name,
        version="1",
        architecture="committee",
        arguments={"columns": columns},
        patch_size=committee.patch_size,
        sha256="",
        training=_provenance([model.card for model in models]),
        measured=(),
    )
    return Model(card, committee)


def join_folds(columns: Sequence[Sequence[Model]], name: str) -> tuple[Model, ...]:
    """Committees of the folds that every column has, trained without the same cases.

    Parameters
    ----------
    columns : sequence of sequences of Model
        The folds of each column (`load_folds`).
    name : str
        Name of the committee.
    """
    by_cases = [{tuple(fold.card.training.get("held_out", ())): fold for fold in folds} for folds in columns]
    shared = [cases for cases in by_cases[0] if cases and all(cases in other for other in by_cases)]
    return tuple(join_models([folds[cases] for folds in by_cases], name) for cases in shared)


def _provenance(cards: Sequence[ModelCard]) -> dict[str, Any]:
    """What all columns have in common; but a case that one of them was trained on, the committee was trained on."""
    training = [card.training for card in cards]
    shared = {key: value for key, value in training[0].items() if all(one.get(key) == value for one in training)}
    seen = {case for one in training for case in one.get("cases", ())}
    held_out = {case for one in training for case in one.get("held_out", ())} - seen
    known = {"cases": sorted(seen), "held_out": sorted(held_out)} if seen else {}
    return {"columns": [card.name for card in cards], **shared, **known}


def _view(card: ModelCard, base: ModelCard) -> View:
    if card.architecture not in FAMILIES:
        raise CardError(f"{card.name} is of no registered family ({', '.join(sorted(FAMILIES))})")
    if (card.classes, card.target) != (base.classes, base.target):
        raise CardError(f"{card.name} has the classes {card.classes}, {base.name} has {base.classes}")
    scale = round(card.mpp / base.mpp)
    if abs(card.mpp / base.mpp - scale) > _MPP_TOLERANCE * scale:
        raise CardError(f"{card.name} has {card.mpp} um/px, which is no multiple of the {base.mpp} of {base.name}")
    own, shared = card.normalisation, base.normalisation
    if own.channels != shared.channels:
        raise CardError(f"{card.name} reads {own.channels} channels, {base.name} reads {shared.channels}")
    # By stain, all read the slide's own statistics; only of a slide without tissue does each card assume its own.
    if own == shared or own.kind == shared.kind == NormalisationKind.STAIN:
        return View(card.patch_size, scale)
    if not own.kind == shared.kind == NormalisationKind.AFFINE:
        raise CardError(f"{card.name} and {base.name} normalise by different slide statistics")
    # (value - own mean) / own std, from (value - mean) / std.
    gain = tuple(s / o for s, o in zip(shared.std, own.std, strict=True))
    offset = tuple((m - n) / o for m, n, o in zip(shared.mean, own.mean, own.std, strict=True))
    return View(card.patch_size, scale, gain, offset)


def _as_table(view: View) -> dict[str, Any]:
    """The view as a card has it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(view).items()}
