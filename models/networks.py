"""A model's network, from the file of its weights and back. `models.registry` decides which file that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from models.card import ModelCard
from models.columns.p4mnet import P4MNet
from models.errors import ModelDamagedError
from models.families import build_network
from models.importing.adapt import Adapted, fit, split_arguments
from models.importing.exported import load_exported
from models.importing.onnx_file import load_onnx
from models.importing.torchscript import Resized, load_script
from models.sources import FOREIGN, FORMAT_OF, WEIGHTS_NAME
from models.symmetry import Symmetric

#: By architecture, for those of `models.sources.FORMATS`: files that hold a network whole.
_LOADERS = {"onnx": load_onnx, "exported": load_exported, "torchscript": load_script}
#: Patches in the example that a network is exported with; any number runs.
_EXAMPLE_PATCHES = 2


def load_network(card: ModelCard, weights: Path) -> tuple[ModelCard, nn.Module]:
    """The network in `weights`, in eval mode, and the card with the side of the patch that it then reads.

    Raises
    ------
    ModelDamagedError
        The weights are unreadable, or do not fit the architecture.
    """
    net = _build(card, weights).eval()
    if card.symmetries > 1:
        net = Symmetric(net, card.patch_size).eval()
        card = replace(card, patch_size=net.side)
    return card, net


def _build(card: ModelCard, weights: Path) -> nn.Module:
    load = _LOADERS.get(card.architecture)
    if load is None and card.architecture not in FOREIGN:
        net = _with_weights(build_network(card.architecture, card.arguments), weights, card.architecture)
        return net.written_out() if isinstance(net, P4MNet) else net
    _, arguments = split_arguments(card.arguments)
    if load is None:
        net = _with_weights(build_network(card.architecture, arguments), weights, card.architecture)
    else:
        net = load(weights)
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


def write_network(folder: Path, card: ModelCard, net: nn.Module) -> tuple[ModelCard, Path]:
    """Write the weights, or a whole network if the card says `exported`; returns the card to write beside the file."""
    while isinstance(net, (Adapted, Symmetric)):  # The card says that they are wanted.
        card = replace(card, patch_size=net.patch_size)
        net = net.net
    if card.is_equivariant:
        net = P4MNet.from_written_out(net, card.arguments)
    if card.architecture == "exported":
        weights = folder / FORMAT_OF["exported"].name
        _export(net, card, weights)
    else:
        weights = folder / WEIGHTS_NAME
        _save_weights(net, weights)
    weights.chmod(0o644)  # The writer leaves it readable by its owner alone.
    return card, weights


def _save_weights(net: nn.Module, weights: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}, weights)


def _export(net: nn.Module, card: ModelCard, weights: Path) -> None:
    shape = card.arguments.get("patch_shape") or (card.patch_size, card.patch_size)
    example = torch.zeros(_EXAMPLE_PATCHES, card.normalisation.channels, *shape)
    program = torch.export.export(net.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("patches")},))
    torch.export.save(program, weights)
