"""The dense net, or the classifier itself, as an ONNX model: the same graph and weights for other engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from scanner.dense.network.graph import Graph, Layout
from scanner.dense.network.layers import Convolution, MaxPool, Step

_OPSET, _IR_VERSION = 17, 9
_FLOAT = TensorProto.FLOAT
_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}


def dense_model(graph: Graph, layout: Layout, shape: Sequence[int], *, pools_as_slices: bool = False) -> bytes:
    """The dense net in the dilated form for images of one shape; OpenVINO needs its pools as slices."""
    steps = []
    for index, node in enumerate(graph.nodes[1:], start=1):
        source = node.inputs[0]
        old, new = Step(layout.rows[source].grid, layout.cols[source].grid), layout.rows[index].grid
        stride = Step(new // old.rows, layout.cols[index].grid // old.cols)
        spread = Step(layout.rows[source].fragments, layout.cols[source].fragments)
        window = Step(node.rows.window.dilation * spread.rows, node.cols.window.dilation * spread.cols)
        steps.append((stride, window))
    return _Writer(shape, pools_as_slices=pools_as_slices).write(graph, steps)


def patch_model(graph: Graph, shape: Sequence[int]) -> bytes:
    """The classifier itself, for a batch of patches."""
    windows = [(node.rows.window, node.cols.window) for node in graph.nodes[1:]]
    steps = [(Step(r.stride, c.stride), Step(r.dilation, c.dilation)) for r, c in windows]
    return _Writer(shape).write(graph, steps)


class _Writer:
    """Writes a chain of convolutions and max-poolings, node by node."""

    def __init__(self, shape: Sequence[int], *, pools_as_slices: bool = False) -> None:
        self.shape = list(shape)
        self.pools_as_slices = pools_as_slices
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def write(self, graph: Graph, steps: list[tuple[Step, Step]]) -> bytes:
        """Serialised ModelProto with input "image" and output "logits"."""
        size, value = Step(*self.shape[2:]), "image"
        for node, (stride, dilation) in zip(graph.nodes[1:], steps, strict=True):
            kernel = Step(node.rows.window.kernel, node.cols.window.kernel)
            if node.slides:
                size = Step(*((s - (k - 1) * d - 1) // t + 1 for s, k, d, t in zip(size, kernel, dilation, stride)))  # noqa: B905
            if isinstance(node.layer, Convolution):
                value = self._convolution(node.layer, value, stride, dilation)
            elif isinstance(node.layer, MaxPool):
                value = self._pool(value, kernel, size, stride, dilation)
            elif node.slides or len(node.inputs) != 1:
                raise NotImplementedError(f"{node.name}: only chains of convolutions and max-poolings are written")
        graph_proto = helper.make_graph(
            self.nodes,
            "mitoscan",
            [helper.make_tensor_value_info("image", _FLOAT, self.shape)],
            [helper.make_tensor_value_info(value, _FLOAT, None)],
            self.constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        serialised: bytes = helper.make_model(
            graph_proto, opset_imports=[opset], ir_version=_IR_VERSION
        ).SerializeToString()
        return serialised

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, values: Any) -> str:
        name = f"constant{len(self.constants)}"
        array = values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values, np.int64)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _convolution(self, layer: Convolution, value: str, stride: Step, dilation: Step) -> str:
        inputs = [value, self._constant(layer.weight)]
        if layer.bias is not None:
            inputs.append(self._constant(layer.bias))
        value = self._add("Conv", inputs, strides=list(stride), dilations=list(dilation), group=layer.groups)
        return value if layer.activation == "none" else self._add(_ACTIVATIONS[layer.activation], [value])

    def _pool(self, value: str, kernel: Step, size: Step, stride: Step, dilation: Step) -> str:
        if not self.pools_as_slices:
            return self._add(
                "MaxPool", [value], kernel_shape=list(kernel), strides=list(stride), dilations=list(dilation)
            )
        for axis in (0, 1):
            views = []
            for k in range(kernel[axis]):
                start = k * dilation[axis]
                stop = start + (size[axis] - 1) * stride[axis] + 1
                bounds = [self._constant([n]) for n in (start, stop, axis + 2, stride[axis])]
                views.append(self._add("Slice", [value, *bounds]))
            value = self._add("Max", views)
        return value


def is_chain(graph: Graph) -> bool:
    """True if `dense_model` can write the graph."""
    known = (Convolution, MaxPool)
    return all(isinstance(n.layer, known) or not n.slides for n in graph.nodes[1:]) and not any(
        len(n.inputs) > 1 or isinstance(n.layer, nn.Softmax) for n in graph.nodes
    )
