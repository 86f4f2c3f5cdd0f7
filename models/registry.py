"""load_model: a name or a folder -> a ready patch classifier with its card.

Weights are read from safetensors only and only if their checksum is the card's: a model folder can damage a scan,
it cannot run code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from models.card import ModelCard, read_card, with_weights, write_card
from models.committee import Committee
from models.dannet import DanNet, DanNetConfig
from models.errors import CardError, ModelDamagedError, ModelNotFoundError
from models.validnet import ValidNet, ValidNetConfig

ZOO = Path(__file__).parent / "zoo"
WEIGHTS_NAME = "model.safetensors"
#: Sub-folder of a model folder: models of the same recipe, each trained without some of the cases.
FOLDS_NAME = "folds"
DEFAULT_MODEL = "mitosis-1"


@dataclass(frozen=True)
class Model:
    """A patch classifier and what must be known to run it."""

    card: ModelCard
    #: (N, C, P, P) normalised float32 -> logits (N, classes); in eval mode.
    net: nn.Module


def _build_committee(*, columns: list[dict[str, Any]]) -> nn.Module:
    nets = [build_network(column["architecture"], column["arguments"]) for column in columns]
    return Committee(nets, [column["arguments"]["patch_size"] for column in columns])


FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "dannet": lambda **arguments: DanNet(DanNetConfig(**arguments)),
    "validnet": lambda **arguments: ValidNet(ValidNetConfig(**arguments)),
    "committee": _build_committee,
}


def build_network(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    """An untrained network of a registered family."""
    if architecture not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise CardError(f"architecture {architecture!r} is not registered; known: {known}")
    try:
        return FAMILIES[architecture](**arguments)
    except (TypeError, KeyError) as error:
        raise CardError(f"arguments of architecture {architecture!r}: {error}") from error


def list_models() -> list[ModelCard]:
    """Cards of the shipped models, by name."""
    return [read_card(folder.parent) for folder in sorted(ZOO.glob("*/card.toml"))]


def load_model(name_or_folder: str | Path) -> Model:
    """The model of that name in the zoo, or in that folder.

    Raises
    ------
    ModelNotFoundError
        Neither a shipped model nor a folder with a card.
    ModelDamagedError
        The weights are unreadable, have another checksum, or do not fit the architecture.
    """
    from safetensors import SafetensorError  # Here, so that `models` imports with torch and numpy alone.
    from safetensors.torch import load_file

    folder = _find_folder(name_or_folder)
    card = read_card(folder)
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise ModelDamagedError(f"{weights} is missing")
    checksum = file_sha256(weights)
    if checksum != card.sha256:
        raise ModelDamagedError(f"{weights} has SHA-256 {checksum}, its card says {card.sha256}")
    net = build_network(card.architecture, card.arguments)
    try:
        net.load_state_dict(load_file(weights), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise ModelDamagedError(f"{weights} does not fit {card.architecture!r}: {error}") from error
    return Model(card, net.eval())


def load_folds(name_or_folder: str | Path) -> tuple[Model, ...]:
    """The models that were trained as this one was, each without the cases that its card names as held out.

    They show how good the recipe is on cases never seen, which the model itself, trained on all cases, cannot. Empty
    where the model folder holds none.
    """
    folds = _find_folder(name_or_folder) / FOLDS_NAME
    return tuple(load_model(card.parent) for card in sorted(folds.glob("*/card.toml")))


def save_model(folder: Path, model: Model) -> Model:
    """Write card and weights into `folder`; returns the model with its checksum in the card."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.net.state_dict().items()}
    save_file(state, folder / WEIGHTS_NAME)
    (folder / WEIGHTS_NAME).chmod(0o644)  # The writer leaves it readable by its owner alone.
    saved = replace(model, card=with_weights(model.card, file_sha256(folder / WEIGHTS_NAME)))
    write_card(folder, saved.card)
    return saved


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_folder(name_or_folder: str | Path) -> Path:
    shipped = ZOO / str(name_or_folder)
    if isinstance(name_or_folder, str) and Path(name_or_folder).name == name_or_folder and shipped.is_dir():
        return shipped
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    names = ", ".join(card.name for card in list_models()) or "none"
    raise ModelNotFoundError(f"model {str(name_or_folder)!r} is neither a folder nor shipped (shipped: {names})")
