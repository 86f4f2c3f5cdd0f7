"""Fewer passes over memory, same numbers: BatchNorm and activation move into the convolution before them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from scanner.dense.network.graph import Graph, GraphNode
from scanner.dense.network.layers import ChannelAffine, Convolution, Pointwise
from scanner.dense.network.plan import Node

_ACTIVATION_OF = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.Sigmoid: "sigmoid"}
_ACTIVATION_OF_NAME = {"tanh", "relu", "sigmoid"}


def fuse_graph(graph: Graph) -> Graph:
    """`graph` with every foldable BatchNorm, activation and identity folded into the layer before it."""
    users = [0] * len(graph.nodes)
    for node in graph.nodes:
        for source in node.inputs:
            users[source] += 1
    kept: list[GraphNode] = []
    number: list[int] = []
    for node in graph.nodes:
        inputs = tuple(number[source] for source in node.inputs)
        fused = None
        if len(inputs) == 1 and users[node.inputs[0]] == 1:
            fused = _fused(kept[inputs[0]].layer, node.layer)
        if fused is not None:
            before = kept[inputs[0]]
            kept[inputs[0]] = replace(before, layer=fused)
            number.append(inputs[0])
        else:
            kept.append(replace(node, rows=_with_inputs(node.rows, inputs), cols=_with_inputs(node.cols, inputs)))
            number.append(len(kept) - 1)
    return Graph(tuple(kept), graph.patch_size)


def _with_inputs(node: Node, inputs: tuple[int, ...]) -> Node:
    return replace(node, inputs=inputs)


def _fused(before: nn.Module | None, layer: nn.Module | None) -> nn.Module | None:
    """One layer that does both, or None."""
    if before is not None and isinstance(layer, Pointwise) and isinstance(layer.module, (nn.Identity, _DROPOUT)):
        return before
    if not isinstance(before, Convolution) or before.activation != "none":
        return None
    if isinstance(layer, ChannelAffine):
        return _folded(before, layer)
    activation = _activation_name(layer)
    if activation is None:
        return None
    return Convolution(before.weight, before.bias, groups=before.groups, activation=activation)


_DROPOUT = nn.modules.dropout._DropoutNd


def _activation_name(layer: nn.Module | None) -> str | None:
    if not isinstance(layer, Pointwise):
        return None
    if layer.module is not None:
        return _ACTIVATION_OF.get(type(layer.module))
    return layer.label if layer.label in _ACTIVATION_OF_NAME else None


def _folded(convolution: Convolution, affine: ChannelAffine) -> Convolution:
    """BatchNorm's scale and shift inside the convolution's weights; computed in float64, kept in their own type."""
    scale, shift = affine.scale.flatten(), affine.shift.flatten()
    weight = convolution.weight.double() * scale.view(-1, 1, 1, 1)
    bias: Tensor = torch.zeros_like(shift) if convolution.bias is None else convolution.bias.double()
    dtype = convolution.weight.dtype
    return Convolution(weight.to(dtype), (bias * scale + shift).to(dtype), groups=convolution.groups)
