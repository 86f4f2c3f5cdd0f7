"""Networks from elsewhere: they say what the network says that was exported, and nothing in a file runs as code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import load_model, save_model
from models.errors import CardError, CodeRefusedError, ModelNotFoundError
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
