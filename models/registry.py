"""load_model: a name, a folder or a file -> a ready patch classifier with its card.

Weights are read from safetensors, networks from ONNX and torch.export files, and only if their checksum is the card's:
a model can damage a scan, it cannot run code. TorchScript can; it is loaded only where the caller allows code.

Imports without torch, which takes a second: only a model that is there, and undamaged, needs it (`models.networks`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.card import ModelCard, read_card, with_weights, write_card
from models.errors import CodeRefusedError, ModelDamagedError
from models.sources import FORMAT_OF, ZOO, Source, find_folder, find_source

if TYPE_CHECKING:
    from torch import nn

#: Sub-folder of a model folder: models of the same recipe, each trained without some of the cases.
FOLDS_NAME = "folds"
DEFAULT_MODEL = "mitosis-2"
#: File of a model folder: that the model is scanned exactly, as measured (`scanner.inference.certificates`).
CERTIFICATE_NAME = "certificate.json"


@dataclass(frozen=True)
class Model:
    """A patch classifier and what must be known to run it.

    Examples
    --------
    >>> from models import load_model
    >>> model = load_model("mitosis-1")
    >>> model.card.classes, model.is_code
    (('background', 'mitosis'), False)
    """

    card: ModelCard
    #: (N, C, P, P) normalised float32 -> logits (N, classes); in eval mode.
    net: nn.Module
    #: Where its card lies; None for a model made in Python.
    folder: Path | None = None
    #: The network is TorchScript: code that can only run patch by patch.
    is_code: bool = False


def list_models() -> list[ModelCard]:
    """Cards of the shipped models, by name.

    Examples
    --------
    >>> from models import list_models
    >>> [card.name for card in list_models()]
    ['dannet-2013', 'membrane-1', 'mitosis-1', 'mitosis-2']
    """
    return [read_card(folder.parent) for folder in sorted(ZOO.glob("*/card.toml"))]


def load_model(name_or_path: str | Path, *, allow_code: bool = False) -> Model:
    """The model of that name in the zoo, in that folder, or in that network file.

    Parameters
    ----------
    name_or_path : str or path
        A shipped model's name; a model folder; a WSInfer bundle; an .onnx or .pt2 file with its card (.toml) beside it.
    allow_code : bool
        Load TorchScript too, which is code that runs with the rights of this process.

    Raises
    ------
    ModelNotFoundError
        Neither a shipped model nor a folder with a card.
    ModelDamagedError
        The weights are unreadable, have another checksum, or do not fit the architecture.
    CodeRefusedError
        It is TorchScript, and code is not allowed.

    Examples
    --------
    >>> import torch
    >>> from models import load_model
    >>> model = load_model("mitosis-1")
    >>> side = model.card.patch_size
    >>> model.net(torch.rand(4, 3, side, side)).shape  # Logits of four patches.
    torch.Size([4, 2])
    """
    source = find_source(name_or_path)
    if source.is_code and not allow_code:
        raise CodeRefusedError(f"{source.weights} is TorchScript, which is code; it is not accepted here")
    card = _checked_card(source)
    from models.networks import load_network

    card, net = load_network(card, source.weights)
    return Model(card, net, source.weights.parent, source.is_code)


def _checked_card(source: Source) -> ModelCard:
    """The card with the checksum of the weights; ModelDamagedError if it has another."""
    if not source.weights.is_file():
        raise ModelDamagedError(f"{source.weights} is missing")
    checksum, card = file_sha256(source.weights), source.card
    if not card.sha256 and card.architecture in FORMAT_OF:
        return with_weights(card, checksum)  # Its card was written by hand, or it is a bundle.
    if checksum != card.sha256:
        raise ModelDamagedError(f"{source.weights} has SHA-256 {checksum}, its card says {card.sha256}")
    return card


def load_folds(name_or_folder: str | Path) -> tuple[Model, ...]:
    """The models that were trained as this one was, each without the cases that its card names as held out.

    They show how good the recipe is on cases never seen, which the model itself, trained on all cases, cannot. Empty
    where the model folder holds none.

    Examples
    --------
    >>> from models import load_folds
    >>> [sorted(fold.card.training["held_out"]) for fold in load_folds("mitosis-1")]
    [['H03'], ['H04'], ['H07', 'H12'], ['H11', 'H15'], ['H17']]
    """
    folds = find_folder(name_or_folder) / FOLDS_NAME
    return tuple(load_model(card.parent) for card in sorted(folds.glob("*/card.toml")))


def save_model(folder: str | Path, model: Model) -> Model:
    """Write card and weights into `folder`; returns the model with its checksum in the card.

    A network of no registered family is written whole, as a torch.export program, if its card says `exported`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from models import load_model, save_model
    >>> with TemporaryDirectory() as folder:
    ...     saved = save_model(folder, load_model("mitosis-1"))
    ...     load_model(folder).card == saved.card
    True
    """
    from models.networks import write_network

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    card, weights = write_network(folder, model.card, model.net)
    saved = replace(model, card=with_weights(card, file_sha256(weights)), folder=folder)
    write_card(folder, saved.card)
    (folder / CERTIFICATE_NAME).unlink(missing_ok=True)  # It was that of the model which lay here before.
    return saved


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
