"""ONNX files, read as data: operations that are known, and tensors that the file itself holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import ExtraMissingError, ModelDamagedError
from models.importing.onnx_operation import Operation
from models.importing.onnx_ops import OPERATIONS
from models.importing.onnx_sizes import SIZE_OPERATIONS
from models.importing.program import Program, ProgramBuilder, Ref, as_float

#: Protocol buffers hold no more.
_MAX_BYTES = 2 << 30


def load_onnx(path: Path) -> Program:
    """The network of an ONNX file.

    Raises
    ------
    ExtraMissingError
        The package `onnx` is not installed.
    ModelDamagedError
        It is no ONNX file, keeps weights elsewhere, or holds operations that are not known; names them.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ExtraMissingError(f"{path}: reading ONNX needs the extra: pip install 'mitoscan[onnx]'") from error
    if path.stat().st_size > _MAX_BYTES:
        raise ModelDamagedError(f"{path} is larger than {_MAX_BYTES} bytes")
    try:
        graph = onnx.load_model(str(path), load_external_data=False).graph
        return _build(graph)
    except ModelDamagedError as error:
        raise ModelDamagedError(f"{path}: {error}") from error
    except (DecodeError, KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelDamagedError(f"{path} is no ONNX file that can be read: {error!r}") from error


def _build(graph: Any) -> Program:
    builder = ProgramBuilder()
    values: dict[str, Any] = {"": None}
    for tensor in graph.initializer:
        values[tensor.name] = read_tensor(tensor)
    images = [value.name for value in graph.input if value.name not in values]
    if len(images) != 1:
        raise ModelDamagedError(f"the graph takes {len(images)} inputs, not one image")
    values[images[0]] = Ref(0)
    sizes: set[Ref] = set()
    for node in graph.node:
        _add_node(node, values, builder, sizes)
    outputs = [values[output.name] for output in graph.output]
    if not all(isinstance(output, Ref) for output in outputs):
        raise ModelDamagedError("an output does not depend on the image")
    return builder.finish(outputs)


def read_tensor(tensor: Any) -> Tensor:
    """A tensor of the file; ModelDamagedError if its values are kept elsewhere."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise ModelDamagedError(f"tensor {tensor.name!r} is kept in another file; save the model in one file")
    values = torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
    return as_float(values) if values.is_floating_point() else values


def _add_node(node: Any, values: dict[str, Any], builder: ProgramBuilder, sizes: set[Ref]) -> None:
    """Append a node, or compute it at once where it is the same for every image; `sizes` are no tensors but numbers."""
    name = node.name or f"{node.op_type}_{len(builder.steps)}"
    if node.domain not in {"", "ai.onnx"} or node.op_type not in OPERATIONS:
        raise ModelDamagedError(f"operation {node.op_type!r} ({name}) is not known")
    inputs = [values[key] for key in node.input]
    attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    operation = Operation(name, inputs, attributes)
    depends = {value for value in inputs if isinstance(value, Ref)}
    makes_size = node.op_type == "Shape" or bool(depends and depends <= sizes)
    known = SIZE_OPERATIONS if depends and depends <= sizes else OPERATIONS
    if node.op_type not in known:
        raise ModelDamagedError(f"operation {node.op_type!r} ({name}) on sizes is not known")
    built = known[node.op_type](operation)
    outputs = [key for key in node.output if key]
    if built is None:  # nothing but a constant
        values[outputs[0]] = operation.attributes["value"]
        return
    layer, arguments = built
    if not any(isinstance(argument, Ref) for argument in _flat(arguments)):
        values[outputs[0]] = layer(*arguments)  # the same for every image
        return
    values[outputs[0]] = builder.add(name, layer, *arguments)
    if makes_size:
        sizes.add(values[outputs[0]])
    if len(outputs) > 1 and node.op_type not in {"Dropout", "MaxPool", "BatchNormalization"}:
        for index, key in enumerate(outputs):
            values[key] = builder.add(f"{name}_{index}", lambda parts, index=index: parts[index], values[outputs[0]])


def _flat(arguments: list[Any]) -> list[Any]:
    return [part for value in arguments for part in (value if isinstance(value, (list, tuple)) else [value])]


def _attribute(attribute: Any) -> Any:
    from onnx import AttributeProto, helper

    if attribute.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
        raise ModelDamagedError("graphs within the graph (loops, branches) are not known")
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return read_tensor(value)
    return value.decode() if isinstance(value, bytes) else value
