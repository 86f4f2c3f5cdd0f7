"""Files of other programs that are damaged, unknown or meant badly: refused by name, and nothing in them runs."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import ModelError, load_model, save_model
from models.card import write_card
from models.errors import ModelDamagedError
from models.importing.exported import load_exported
from models.importing.onnx_file import load_onnx
from models.registry import Model
from tests.networks import models as factory

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


class _Spy:
    """Pickles into a call that leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_nothing_in_an_exported_program_runs(tmp_path: Path) -> None:
    path, trace = factory.write_exported(tmp_path / "net.pt2", factory.padded()), tmp_path / "trace"
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    sample = next(name for name in entries if name.endswith("sample_inputs/model.pt"))
    config = next(name for name in entries if name.endswith("model_weights_config.json"))
    model = next(name for name in entries if name.endswith("models/model.json"))
    entries[sample] = pickle.dumps(_Spy(trace))
    symbol = {"range_constraints": {f"__import__('pathlib').Path({str(trace)!r}).touch()": {}}}
    entries[model] = json.dumps(json.loads(entries[model]) | symbol).encode()
    _write_zip(path, entries)
    load_exported(path)  # It is not looked at.
    pickled = json.loads(entries[config])
    next(iter(pickled["config"].values()))["use_pickle"] = True
    _write_zip(path, entries | {config: json.dumps(pickled).encode()})
    with pytest.raises(ModelDamagedError, match="pickled"):
        load_exported(path)
    assert not trace.exists()


def _write_zip(path: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries.items():
            new.writestr(name, content)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".pt"])
def test_damaged_files_are_errors_of_ours(suffix: str, tmp_path: Path) -> None:
    write = factory.write_onnx if suffix == ".onnx" else factory.write_exported
    content = write(tmp_path / "whole", factory.padded()).read_bytes()
    kind = {".onnx": "onnx", ".pt2": "exported", ".pt": "torchscript"}[suffix]
    for name, damaged in (("empty", b""), ("noise", bytes(range(256)) * 9), ("cut", content[: len(content) // 2])):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(damaged)
        factory.put_card(path, factory.card_for(kind))
        with pytest.raises(ModelError):
            load_model(path, allow_code=True)


def test_unknown_operations_and_weights_elsewhere_are_named(tmp_path: Path) -> None:
    path = factory.write_onnx(tmp_path / "net.onnx", factory.padded())
    graph = onnx.load(str(path))
    graph.graph.node[0].op_type = "Einsum"
    onnx.save(graph, str(path))
    with pytest.raises(ModelDamagedError, match=r"'Einsum' .*is not known"):
        load_onnx(path)
    graph = onnx.load(str(factory.write_onnx(path, factory.padded())))
    onnx.save(graph, str(path), save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelDamagedError, match="kept in another file"):
        load_onnx(path)


class _Rare(nn.Module):
    """What exporters seldom write: parts from behind, a reversed subtraction of a multiple."""

    def forward(self, x: Tensor) -> Tensor:
        part = torch.ops.aten.slice.Tensor(x, -1, 2, 9)  # Of the columns, counted from behind.
        return torch.rsub(part.flatten(1)[:, :2], 1.5, alpha=3)


def test_parts_counted_from_behind_and_multiples_are_followed(tmp_path: Path) -> None:
    net = _Rare().eval()
    patches = factory.patches_of(3)
    program = load_exported(factory.write_exported(tmp_path / "net.pt2", net))
    torch.testing.assert_close(program(patches), net(patches))


def _onnx_of(path: Path, node: Any, *constants: Any) -> Path:
    """An ONNX file of one operation on the image."""
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["patches", 3, 8, 8])
    found = onnx.helper.make_tensor_value_info("found", onnx.TensorProto.FLOAT, None)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "one", [image], [found], list(constants))), path)
    return path


def test_what_would_be_read_wrongly_is_refused(tmp_path: Path) -> None:
    cut = onnx.helper.make_node("Cast", ["image"], ["found"], to=onnx.TensorProto.INT32)
    with pytest.raises(ModelDamagedError, match="cut to whole numbers"):
        load_onnx(_onnx_of(tmp_path / "cast.onnx", cut))
    pad = onnx.helper.make_node("Pad", ["image", "pads", "", "axes"], ["found"])
    numbers = [onnx.numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (("pads", [1, 1]), ("axes", [2]))]
    with pytest.raises(ModelDamagedError, match="pads of some axes alone"):
        load_onnx(_onnx_of(tmp_path / "pad.onnx", pad, *numbers))


def test_a_changed_file_is_not_the_one_of_the_card(tmp_path: Path) -> None:
    save_model(tmp_path / "m", Model(factory.card_for("exported"), factory.padded()))
    other = factory.write_exported(tmp_path / "other.pt2", factory.everything())
    (tmp_path / "m" / "model.pt2").write_bytes(other.read_bytes())
    with pytest.raises(ModelDamagedError, match="SHA-256"):
        load_model(tmp_path / "m")
    write_card(tmp_path / "m", replace(factory.card_for("exported"), sha256=""))
    assert load_model(tmp_path / "m").card.sha256
