"""torch.export programs (.pt2), read as data.

`torch.export.load` unpickles what the archive holds and evaluates its symbolic expressions: an archive can run code.
Here its JSON graph and its raw tensors are read, every operation must be known, and pickled tensors are refused.
"""

from __future__ import annotations

import json
import operator
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import ModelDamagedError
from models.importing.aten import HANDLERS
from models.importing.program import Program, ProgramBuilder, Ref, as_float

#: torch's numbers for types, as far as weights have them.
_DTYPES = {4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32, 8: torch.float64, 13: torch.bfloat16}
#: A graph is text: more than this is no classifier.
_MAX_GRAPH_BYTES = 64 << 20


def load_exported(path: Path) -> Program:
    """The network of a .pt2 file.

    Raises
    ------
    ModelDamagedError
        It is none, or holds pickled tensors or operations that are not known; names them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            graph = _read_json(archive, "models/model.json")["graph_module"]
            return _build(graph, _Tensors(archive))
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
        if isinstance(error, ModelDamagedError):
            raise ModelDamagedError(f"{path}: {error}") from error
        raise ModelDamagedError(f"{path} is no torch.export program that can be read: {error!r}") from error


def _member(archive: zipfile.ZipFile, suffix: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename.endswith(f"/{suffix}")]
    if len(found) != 1:
        raise ModelDamagedError(f"the archive holds {len(found)} files {suffix}, not 1")
    return found[0]


def _read_json(archive: zipfile.ZipFile, suffix: str) -> Any:
    info = _member(archive, suffix)
    if info.file_size > _MAX_GRAPH_BYTES:
        raise ModelDamagedError(f"{info.filename} has {info.file_size} bytes; at most {_MAX_GRAPH_BYTES} are read")
    return json.loads(archive.read(info))


class _Tensors:
    """The raw tensors of an archive, by the names of parameters, buffers and constants."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._config: dict[str, Any] = {}
        for kind in ("weights", "constants"):
            config = _read_json(archive, f"data/{kind}/model_{kind}_config.json")["config"]
            self._config |= {name: (kind, entry) for name, entry in config.items()}

    def __getitem__(self, name: str) -> Tensor:
        kind, entry = self._config[name]
        if entry["use_pickle"]:
            raise ModelDamagedError(f"tensor {name!r} is pickled; only raw tensors are read")
        meta = entry["tensor_meta"]
        sizes, strides = ([int(part["as_int"]) for part in meta[key]] for key in ("sizes", "strides"))
        offset = int(meta["storage_offset"]["as_int"])
        if meta["dtype"] not in _DTYPES:
            raise ModelDamagedError(f"tensor {name!r} has a type that is not read: {meta['dtype']}")
        content = bytearray(self._archive.read(_member(self._archive, f"data/{kind}/{entry['path_name']}")))
        if not content:
            return torch.empty(sizes, dtype=_DTYPES[meta["dtype"]])
        values = torch.frombuffer(content, dtype=_DTYPES[meta["dtype"]])
        tensor = torch.as_strided(values, sizes, strides, offset).clone()
        return as_float(tensor) if tensor.is_floating_point() else tensor


def _build(graph_module: dict[str, Any], tensors: _Tensors) -> Program:
    graph, builder = graph_module["graph"], ProgramBuilder()
    values: dict[str, Any] = {}
    images = 0
    for spec in graph_module["signature"]["input_specs"]:
        ((kind, content),) = spec.items()
        if kind == "user_input":
            values[content["arg"]["as_tensor"]["name"]] = Ref(0)
            images += 1
        elif kind in {"parameter", "buffer", "tensor_constant"}:
            key = {"parameter": "parameter_name", "buffer": "buffer_name"}.get(kind, "tensor_constant_name")
            values[content["arg"]["name"]] = tensors[content[key]]
        else:
            raise ModelDamagedError(f"an input of kind {kind!r} is not known")
    if images != 1:
        raise ModelDamagedError(f"the program takes {images} inputs, not one image")
    batch = _batch_of(graph)
    for node in graph["nodes"]:
        _add_node(node, values, builder, batch)
    outputs = [values[output["as_tensor"]["name"]] for output in graph["outputs"]]
    return builder.finish(outputs)


def _batch_of(graph: dict[str, Any]) -> int | None:
    """Patches of the example that the program was exported with, if it was exported for just so many."""
    name = graph["inputs"][-1]["as_tensor"]["name"]
    size = graph["tensor_values"][name]["sizes"][0]
    return int(size["as_int"]) if "as_int" in size else None


def _add_node(node: dict[str, Any], values: dict[str, Any], builder: ProgramBuilder, batch: int | None) -> None:
    target = str(node["target"]).removeprefix("torch.ops.")
    arguments = {part["name"]: _argument(part["arg"], values) for part in node["inputs"]}
    output = node["outputs"][0]
    name = output["as_tensor"]["name"] if "as_tensor" in output else output["as_sym_int"]["as_name"]
    if target in {"_operator.getitem", "aten.sym_size.int"}:
        first, second = arguments.values()
        function: Callable[..., Any] = operator.getitem if target == "_operator.getitem" else _size_of
        values[name] = builder.add(name, function, first, second)
        return
    handler = HANDLERS.get(target.removeprefix("aten.").replace("_.", "."))
    if handler is None:
        raise ModelDamagedError(f"operation {target!r} ({name}) is not known")
    if "size" in arguments and batch is not None:
        # A program for so many patches reshapes to so many: it is run on others.
        arguments["size"] = _any_batch(arguments["size"], batch)
    layer, inputs = handler(arguments)
    values[name] = builder.add(_layer_name(node) or name, layer, *inputs)


def _layer_name(node: dict[str, Any]) -> str:
    """Name that the layer had in the exported network, if the file has it."""
    stack = str(node.get("metadata", {}).get("nn_module_stack", "")).split(";")[-1].split(",")
    return stack[1] if len(stack) > 1 else ""


def _any_batch(size: Any, batch: int) -> Any:
    if isinstance(size, list) and size and size[0] == batch and -1 not in size[1:]:
        return [-1, *size[1:]]
    if isinstance(size, list) and size and size[0] == batch:
        return [BATCH, *size[1:]]
    return size


def _size_of(x: Tensor, dim: int) -> int:
    return x.size(dim)


#: Stands for the number of patches in a shape.
BATCH = "batch"


def _argument(argument: dict[str, Any], values: dict[str, Any]) -> Any:
    ((kind, content),) = argument.items()
    if kind == "as_tensor":
        return values[content["name"]]
    if kind == "as_tensors":
        return [values[part["name"]] for part in content]
    if kind == "as_none":
        return None
    if kind in {"as_int", "as_float", "as_bool", "as_string"}:
        return content
    if kind in {"as_ints", "as_floats", "as_bools"}:
        return list(content)
    if kind == "as_sym_int":
        return _symbol(content, values)
    if kind == "as_sym_ints":
        return [_symbol(part, values) for part in content]
    return None  # Types, devices and layouts: a program runs in those that it is asked to.


def _symbol(content: dict[str, Any], values: dict[str, Any]) -> Any:
    return values[content["as_name"]] if "as_name" in content else content["as_int"]
