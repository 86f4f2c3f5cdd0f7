"""A network from a Python file: it is trained densely if its layers allow that, and saved as layers."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.card import ModelCard
from models.columns.p4mnet import P4MNet
from models.errors import CardError
from models.families import build_network
from models.layers import Layers, chain_of, describe_layers
from models.registry import Model, load_model
from scanner.dense.conversion.patchwise import score_patches
from scanner.errors import SettingsError
from scanner.training.recipe import Recipe

#: Function in a network's file that makes the network.
BUILDER = "build"
#: The family that a chain of layers is saved as.
LAYERS = "layers"


def is_own(recipe: Recipe) -> bool:
    """True if the recipe's architecture is a Python file."""
    return recipe.architecture.endswith(".py")


def make_network(recipe: Recipe) -> nn.Module:
    """The network of a recipe before its training: of a registered family, or of the Python file that it names.

    Its weights are random, or those of the model that the recipe begins with.

    Parameters
    ----------
    recipe : Recipe
        Its arguments but for `patch_size` go to the file's `build`.

    Raises
    ------
    SettingsError
        The file cannot be run, or what it builds is no chain of layers; or the recipe begins with a model of another
        network.
    """
    if recipe.begin:
        return _begun(recipe)
    if not is_own(recipe):
        return build_network(recipe.architecture, recipe.arguments)
    path = Path(recipe.architecture)
    arguments = {key: value for key, value in recipe.arguments.items() if key != "patch_size"}
    net = _run_builder(path, arguments)
    try:
        describe_layers(net)
        return Layers([layer for _, layer in chain_of(net)])
    except CardError as error:
        raise SettingsError(f"{path}: {error}") from error


def _begun(recipe: Recipe) -> nn.Module:
    """The network of the model that a recipe begins with."""
    model = load_model(recipe.begin)
    card, arguments = model.card, recipe.card_arguments
    if (card.architecture, dict(card.arguments)) != (recipe.architecture, arguments):
        raise SettingsError(
            f"recipe: begin = {recipe.begin!r} is a {card.architecture} of {dict(card.arguments)}, and the recipe's is "
            f"a {recipe.architecture} of {arguments}"
        )
    if card.is_equivariant:
        return P4MNet.from_written_out(model.net, arguments)
    return model.net


def as_shipped(model: Model, recipe: Recipe) -> Model:
    """A trained network in the form that any machine runs: layers instead of your code, a P4MNet written out."""
    if isinstance(model.net, P4MNet):
        return Model(model.card, model.net.written_out())
    if not is_own(recipe):
        return model
    arguments = {"layers": describe_layers(model.net), "patch_size": recipe.patch_size}
    card: ModelCard = replace(model.card, architecture=LAYERS, arguments=arguments)
    return Model(card, model.net)


class PatchTrained(nn.Module):
    """A network that is trained patch by patch, in the place of one that is trained densely."""

    def __init__(self, net: nn.Module, patch_size: int, stride: int) -> None:
        super().__init__()
        self.net = net
        self.features = nn.Sequential(_EveryPatch(net, patch_size, stride))
        self.classifier = nn.Sequential()

    def forward(self, patches: Tensor) -> Tensor:
        """Logits of the classes for the centre of each patch."""
        logits: Tensor = self.net(patches)
        return logits


class _EveryPatch(nn.Module):
    """(N, C, H, W) -> (N, classes, rows, cols): the network on each patch of the crops."""

    def __init__(self, net: nn.Module, patch_size: int, stride: int) -> None:
        super().__init__()
        self.net, self.patch_size, self.stride = net, patch_size, stride

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every patch."""
        logits: Tensor = score_patches(self.net, images, self.patch_size, self.stride, batch_size=1 << 30)
        return logits


def trainable(net: nn.Module, recipe: Recipe) -> nn.Module:
    """`net` in the form that the training loop applies to crops: as it is where its layers slide over them."""
    return net if slides(net, recipe) else PatchTrained(net, recipe.patch_size, recipe.network_stride)


def trained(net: nn.Module) -> nn.Module:
    """The network itself, unwrapped from what `trainable` returned."""
    return net.net if isinstance(net, PatchTrained) else net


@torch.no_grad()
def slides(net: nn.Module, recipe: Recipe) -> bool:
    """True if the network gives each patch of a whole crop the logits that it gives the patch alone."""
    from scanner.training.loss import apply_convolutionally

    was_training = net.training
    crop = torch.rand((1, recipe.channels, *[recipe.patch_size + recipe.network_stride] * 2))
    try:
        net.eval()
        at_once = apply_convolutionally(net, crop)
        alone = score_patches(net, crop, recipe.patch_size, recipe.network_stride)
        return at_once.shape == alone.shape and torch.allclose(at_once, alone, rtol=1e-3, atol=1e-4)
    except (RuntimeError, ValueError, AttributeError):
        return False
    finally:
        net.train(was_training)


def own_stride(net: nn.Module) -> int:
    """The product of the strides of a chain's layers: the distance of the outputs of a crop."""
    stride = 1
    for _, layer in chain_of(net):
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            steps: Any = layer.stride
            stride *= steps if isinstance(steps, int) else steps[0]
    return stride


def _run_builder(path: Path, arguments: dict[str, Any]) -> nn.Module:
    spec = importlib.util.spec_from_file_location(f"own_network_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"architecture: there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses in it look their module up.
    try:
        spec.loader.exec_module(module)
        net = getattr(module, BUILDER)(**arguments)
    except Exception as error:
        # Any exception of the user's file is an error of that file.
        raise SettingsError(f"{path}: {BUILDER}({', '.join(arguments)}) failed: {error!r}") from error
    if not isinstance(net, nn.Module):
        raise SettingsError(f"{path}: {BUILDER} returned {type(net).__name__}, not an nn.Module")
    return net
