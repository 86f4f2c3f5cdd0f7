"""How a model's classifier runs over a tile: dense, by zones, or patch by patch; and what that costs, in words."""

from __future__ import annotations

from torch import nn

from models.registry import Model
from scanner.dense import DenseNet, PatchwiseNet, densify
from scanner.dense.network.plan import shape_of_patch
from scanner.dense.network.probe import record
from scanner.dense.symmetric import SymmetricNet, with_symmetries
from scanner.dense.zones import ZonedNet, zone
from scanner.dense.zones.cuts import patch_cost
from scanner.errors import InexactLayerError, SettingsError
from scanner.settings import ENGINES


def choose_network(model: Model, *, stride: int, engine: str = "dense") -> nn.Module:
    """The network that scores every `stride`-th patch of a tile.

    Parameters
    ----------
    model : Model
    stride : int
        In grid pixels.
    engine : str
        "dense": one dense net; where the network pads, by zones, if that is cheaper than patch by patch. "zones" and
        "patch" ask for that and nothing else. TorchScript always runs patch by patch.

    Raises
    ------
    InexactLayerError
        "dense" is wanted, and is not to be had exactly for less than patch by patch; names the first layer.
    """
    if engine not in ENGINES:
        raise SettingsError(f"engine {engine!r} is unknown; known: {', '.join(ENGINES)}")

    def make(net: nn.Module, side: int) -> nn.Module:
        if engine == "patch" or model.is_code:
            return PatchwiseNet(net, side, stride)
        if engine == "zones":
            return zone(net, side, stride)
        try:
            return densify(net, side, stride)
        except InexactLayerError as error:
            return _by_zones(net, side, stride, refusal=error)

    return with_symmetries(model.net, model.card.patch_size, make)


def _by_zones(net: nn.Module, side: int, stride: int, *, refusal: InexactLayerError) -> ZonedNet:
    """The network by zones; the refusal of the dense net, and the way out, where that does not pay."""
    try:
        zoned = zone(net, side, stride)
    except InexactLayerError:
        reason = f"{refusal.reason}; pass --engine patch, which is much slower"
        raise InexactLayerError(refusal.layer, reason) from refusal
    if not zoned.estimate.is_cheaper:
        cost = f"zones would not be cheaper ({zoned.estimate}); pass --engine patch"
        raise InexactLayerError(refusal.layer, f"{refusal.reason}; {cost}") from refusal
    return zoned


def describe_network(net: nn.Module) -> str:
    """How the network runs, in words; what it costs, where that is far from dense."""
    if isinstance(net, SymmetricNet):
        return f"8 symmetries, each {describe_network(net.inner)}"
    if isinstance(net, ZonedNet):
        return str(net.estimate)
    if isinstance(net, DenseNet):
        return f"dense, {net.graph.flops_per_output(net.stride) / 1e6:.2f} MFLOP a position ({net.form})"
    if not isinstance(net, PatchwiseNet):
        return type(net).__name__
    try:
        flops, _ = patch_cost(record(net.net, shape_of_patch(net.patch_size)))
    except InexactLayerError:  # It cannot be followed.
        flops = 0.0
    # None are found in TorchScript either: nobody knows what it costs.
    return f"patch by patch, {flops / 1e6:.2f} MFLOP each" if flops else "patch by patch"
