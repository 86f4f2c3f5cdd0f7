"""Networks from elsewhere: they say what the network says that was exported, and nothing in a file runs as code."""

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
from models.errors import CardError, CodeRefusedError, ModelDamagedError, ModelNotFoundError
from models.importing.exported import load_exported
from models.importing.onnx_file import load_onnx
from models.registry import Model
from scanner.dense import densify
from scanner.errors import InexactLayerError
from tests.networks import models as factory

onnx = pytest.importorskip("onnx")
WRITERS = {".onnx": (factory.write_onnx, "onnx"), ".pt2": (factory.write_exported, "exported")}
#: Exporters fold BatchNorm into convolutions: sums are rounded otherwise.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_imported_network_is_the_exported_one_and_dense(suffix: str, tmp_path: Path) -> None:
    write, architecture = WRITERS[suffix]
    net = factory.everything()
    path = factory.put_card(write(tmp_path / f"net{suffix}", net), factory.card_for(architecture))
    model = load_model(path)
    patches = factory.patches_of(5)
    with torch.no_grad():
        torch.testing.assert_close(model.net(patches), net(patches), **CLOSE)
    dense = densify(model.net, factory.PATCH, 2)
    image = factory.patches_of(1, patch_size=factory.PATCH + 6)
    with torch.no_grad():
        expected = densify(net, factory.PATCH, 2)(image)
        torch.testing.assert_close(dense(image), expected, **CLOSE)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_padded_network_is_refused_by_its_layer(suffix: str, tmp_path: Path) -> None:
    write, architecture = WRITERS[suffix]
    path = factory.put_card(write(tmp_path / f"net{suffix}", factory.padded()), factory.card_for(architecture))
    with pytest.raises(InexactLayerError, match=r"layers\.\w*0\w*'.*padding"):
        densify(load_model(path).net, factory.PATCH)


class Views(nn.Module):
    """Reshapes by the number of patches, as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 5, stride=5), nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x)).view(x.size(0), -1)).softmax(1)


@pytest.mark.parametrize("any_batch", [True, False])
def test_programs_exported_for_some_patches_run_on_any_number(any_batch: bool, tmp_path: Path) -> None:
    net = Views().eval()
    path = factory.write_exported(tmp_path / "net.pt2", net, any_batch=any_batch)
    patches = factory.patches_of(7)
    with torch.no_grad():
        torch.testing.assert_close(load_exported(path)(patches), net(patches))
        torch.testing.assert_close(load_onnx(factory.write_onnx(tmp_path / "n.onnx", net))(patches), net(patches))


def test_onnx_agrees_with_the_reference_evaluator(tmp_path: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    path = factory.write_onnx(tmp_path / "net.onnx", factory.everything())
    patches = factory.patches_of(3)
    (expected,) = ReferenceEvaluator(str(path)).run(None, {"image": patches.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(load_onnx(path)(patches), torch.from_numpy(expected), **CLOSE)


def test_a_module_from_python_is_saved_whole(tmp_path: Path) -> None:
    net = factory.everything()
    saved = save_model(tmp_path / "m", Model(factory.card_for("exported"), net))
    again = load_model(tmp_path / "m")
    assert again.card == saved.card
    patches = factory.patches_of(4)
    with torch.no_grad():
        torch.testing.assert_close(again.net(patches), net(patches), rtol=0, atol=1e-6)


class Two(nn.Module):
    """Two heads, of which one is wanted; takes BGR, gives probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, (6, 9))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.body(x).flatten(1)
        return scores.mean(1, keepdim=True), torch.sigmoid(scores[:, 1:])


def test_shape_channels_head_and_meaning_are_adapted(tmp_path: Path) -> None:
    net = Two().eval()
    adaptation = {"patch_shape": [6, 9], "channel_order": "BGR", "output": 1, "scores": "probabilities"}
    model = save_model(tmp_path / "m", Model(factory.card_for("exported", patch_size=9, arguments=adaptation), net))
    logits = load_model(tmp_path / "m").net
    patches = factory.patches_of(6, patch_size=9)
    with torch.no_grad():
        expected = net(patches[:, [2, 1, 0], 1:7])[1][:, 0]
        scores = logits(patches)
        torch.testing.assert_close(torch.sigmoid(scores[:, 1] - scores[:, 0]), expected)
        assert densify(logits, 9)(patches).shape == (6, 2, 1, 1)
    assert model.card.arguments == adaptation


def test_cards_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    path = factory.write_exported(tmp_path / "net.pt2", factory.everything())
    for changes, reason in (
        ({"classes": ("a", "b", "mitosis")}, "3 classes"),
        ({"patch_size": 17}, "fails on patches of 17 px"),
        ({"arguments": {"scores": "odds"}}, "known are"),
    ):
        factory.put_card(path, factory.card_for("exported", **changes))
        with pytest.raises(CardError, match=reason):
            load_model(path)


def test_a_file_without_a_card_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"mitoscan import net\.pt2"):
        load_model(factory.write_exported(tmp_path / "net.pt2", factory.padded()))
    (tmp_path / "x.h5").write_bytes(b"x")
    with pytest.raises(ModelNotFoundError, match=r"\.onnx"):
        load_model(tmp_path / "x.h5")


def test_torchscript_is_code_and_asked_for(tmp_path: Path) -> None:
    net = factory.padded()
    bundle = factory.write_bundle(tmp_path / "bundle", net, patch_size=40, resize=factory.PATCH)
    with pytest.raises(CodeRefusedError):
        load_model(bundle)
    model = load_model(bundle, allow_code=True)
    card = model.card
    assert (card.mpp, card.patch_size, card.target, card.normalisation.std) == (0.5, 40, "tumor", (0.25,) * 3)
    patches = factory.patches_of(2, patch_size=40)
    with torch.no_grad():
        smaller = nn.functional.interpolate(patches, factory.PATCH, mode="bilinear", antialias=True)
        torch.testing.assert_close(model.net(patches), net(smaller))


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
    write = {**{key: value[0] for key, value in WRITERS.items()}, ".pt": factory.write_exported}[suffix]
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
