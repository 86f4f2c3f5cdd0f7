"""load_model: a name, a folder or a file -> a ready patch classifier with its card.

Weights are read from safetensors, networks from ONNX and torch.export files, and only if their checksum is the card's:
a model can damage a scan, it cannot run code. TorchScript can; it is loaded only where the caller allows code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from models.card import ModelCard, read_card, with_weights, write_card
from models.errors import CodeRefusedError, ModelDamagedError
from models.families import FOREIGN, build_network
from models.importing.adapt import Adapted, fit, split_arguments
from models.importing.torchscript import Resized
from models.sources import FORMAT_OF, WEIGHTS_NAME, ZOO, Source, find_folder, find_source
from models.symmetry import Symmetric

#: Sub-folder of a model folder: models of the same recipe, each trained without some of the cases.
FOLDS_NAME = "folds"
DEFAULT_MODEL = "mitosis-1"
#: File of a model folder: that the model is scanned exactly, as measured (`scanner.certificates`).
CERTIFICATE_NAME = "certificate.json"
#: Patches in the example that a network is exported with; any number runs.
_EXAMPLE_PATCHES = 2


@dataclass(frozen=True)
class Model:
    """A patch classifier and what must be known to run it."""

    card: ModelCard
    #: (N, C, P, P) normalised float32 -> logits (N, classes); in eval mode.
    net: nn.Module
    #: Where its card lies; None for a model made in Python.
    folder: Path | None = None
    #: The network is TorchScript: code that can only run patch by patch.
    is_code: bool = False


def list_models() -> list[ModelCard]:
    """Cards of the shipped models, by name."""
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
    """
    source = find_source(name_or_path)
    if source.is_code and not allow_code:
        raise CodeRefusedError(f"{source.weights} is TorchScript, which is code; it is not accepted here")
    card = _checked_card(source)
    net = _load_network(source, card).eval()
    if card.symmetries > 1:
        net = Symmetric(net, card.patch_size).eval()
        card = replace(card, patch_size=net.side)
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


def _load_network(source: Source, card: ModelCard) -> nn.Module:
    known = FORMAT_OF.get(card.architecture)
    if known is None and card.architecture not in FOREIGN:
        return _with_weights(build_network(card.architecture, card.arguments), source.weights, card.architecture)
    _, arguments = split_arguments(card.arguments)
    if known is None:
        net = _with_weights(build_network(card.architecture, arguments), source.weights, card.architecture)
    else:
        net = known.load(source.weights)
        if "resize" in arguments:
            net = Resized(net, int(arguments["resize"]))
    return fit(net.eval(), card)


def _with_weights(net: nn.Module, weights: Path, architecture: str) -> nn.Module:
    from safetensors import SafetensorError  # Here, so that `models` imports with torch and numpy alone.
    from safetensors.torch import load_file

    try:
        net.load_state_dict(load_file(weights), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise ModelDamagedError(f"{weights} does not fit {architecture!r}: {error}") from error
    return net


def load_folds(name_or_folder: str | Path) -> tuple[Model, ...]:
    """The models that were trained as this one was, each without the cases that its card names as held out.

    They show how good the recipe is on cases never seen, which the model itself, trained on all cases, cannot. Empty
    where the model folder holds none.
    """
    folds = find_folder(name_or_folder) / FOLDS_NAME
    return tuple(load_model(card.parent) for card in sorted(folds.glob("*/card.toml")))


def save_model(folder: str | Path, model: Model) -> Model:
    """Write card and weights into `folder`; returns the model with its checksum in the card.

    A network of no registered family is written whole, as a torch.export program, if its card says `exported`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    net, card = model.net, model.card
    while isinstance(net, (Adapted, Symmetric)):  # The card says that they are wanted.
        card = replace(card, patch_size=net.patch_size)
        net = net.net
    if card.architecture == "exported":
        weights = folder / FORMAT_OF["exported"].name
        _export(net, card, weights)
    else:
        weights = folder / WEIGHTS_NAME
        _save_weights(net, weights)
    weights.chmod(0o644)  # The writer leaves it readable by its owner alone.
    saved = replace(model, card=with_weights(card, file_sha256(weights)), folder=folder)
    write_card(folder, saved.card)
    (folder / CERTIFICATE_NAME).unlink(missing_ok=True)  # It was that of the model which lay here before.
    return saved


def _save_weights(net: nn.Module, weights: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}, weights)


def _export(net: nn.Module, card: ModelCard, weights: Path) -> None:
    shape = card.arguments.get("patch_shape") or (card.patch_size, card.patch_size)
    example = torch.zeros(_EXAMPLE_PATCHES, card.normalisation.channels, *shape)
    program = torch.export.export(net.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("patches")},))
    torch.export.save(program, weights)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
