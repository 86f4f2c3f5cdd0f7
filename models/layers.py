"""Layers: a network written down as a list of torch's own layers, so that a model folder needs no code of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from models.errors import CardError

#: Layers that may be written down, each with the arguments that make it.
KINDS: dict[str, tuple[str, ...]] = {
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"),
    "Linear": ("in_features", "out_features", "bias"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "AdaptiveAvgPool2d": ("output_size",),
    "BatchNorm2d": ("num_features", "eps"),
    "BatchNorm1d": ("num_features", "eps"),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "GELU": ("approximate",),
    "Dropout": ("p",),
    "Dropout2d": ("p",),
    "Flatten": (),
    "ReLU": (),
    "Tanh": (),
    "Sigmoid": (),
    "SiLU": (),
    "Mish": (),
    "Hardswish": (),
    "Identity": (),
}


class Layers(nn.Module):
    """(N, C, P, P) -> logits (N, classes): one layer after another."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        first = next((index for index, layer in enumerate(layers) if isinstance(layer, nn.Flatten)), len(layers))
        self.features = nn.Sequential(*layers[:first])
        self.classifier = nn.Sequential(*layers[first:])

    def forward(self, patches: Tensor) -> Tensor:
        """Logits of the classes for the centre of each patch."""
        logits: Tensor = self.classifier(self.features(patches))
        return logits


def build_layers(*, layers: Sequence[dict[str, Any]], patch_size: int) -> nn.Module:  # noqa: ARG001
    """An untrained network of the layers that `describe_layers` wrote down; the patch size is the card's."""
    built = []
    for number, entry in enumerate(layers):
        arguments = dict(entry)
        kind = arguments.pop("kind")
        if kind not in KINDS or not set(arguments) <= set(KINDS[kind]):
            raise CardError(f"layer {number} ({kind!r} with {sorted(arguments)}) is none of {', '.join(KINDS)}")
        built.append(getattr(nn, kind)(**{key: _as_tuple(value) for key, value in arguments.items()}))
    return Layers(built)


def describe_layers(net: nn.Module) -> list[dict[str, Any]]:
    """The layers of a chain, ready for a card.

    Raises
    ------
    CardError
        The network is no chain of known layers; the message names the first that is not.
    """
    return [_describe(name, layer) for name, layer in chain_of(net)]


def chain_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers of an nn.Sequential, or of `features` and then `classifier`, in order, nested ones unpacked.

    Raises
    ------
    CardError
        It is neither: its forward is code, which cannot be written down.
    """
    if isinstance(net, nn.Sequential):
        return list(_leaves("", net))
    names = [name for name, _ in net.named_children()]
    if names != ["features", "classifier"]:
        raise CardError(
            f"{type(net).__name__} is no chain of layers: make it an nn.Sequential, or one of `features` and then "
            f"`classifier` alone (it has {', '.join(names) or 'no layers'})"
        )
    return [leaf for name, part in net.named_children() for leaf in _leaves(f"{name}.", part)]


def _leaves(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        yield prefix.rstrip("."), module
        return
    for name, child in module.named_children():
        yield from _leaves(f"{prefix}{name}.", child)


def _describe(name: str, layer: nn.Module) -> dict[str, Any]:
    kind = type(layer).__name__
    if kind not in KINDS or type(layer) is not getattr(nn, kind, None):
        raise CardError(f"layer {name!r} is a {kind}, which cannot be written down; known: {', '.join(KINDS)}")
    values = {key: getattr(layer, key) for key in KINDS[kind]}
    if "bias" in values:
        values["bias"] = values["bias"] is not None
    return {"kind": kind} | {key: _as_list(value) for key, value in values.items()}


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
