"""Laws of the Triton form, on a GPU or in Triton's interpreter: the numbers of the classifier, patch by patch.

The interpreter runs a kernel's every program in numpy. It does not know bfloat16, and it says nothing of speed.
"""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch
from torch import nn

from models.columns.dannet import DanNet, DanNetConfig
from models.columns.validnet import ValidNet, ValidNetConfig
from scanner.dense import DenseNet, Form, densify
from scanner.dense.gpu.triton_chain import TritonChain, TritonTuning, TritonUnavailableError
from scanner.dense.gpu.triton_units import largest_part, next_power, plan_runs, plan_unit
from scanner.dense.network.graph import Layout
from scanner.errors import SettingsError
from tests.networks.plain import randomise
from tests.networks.reference import patch_by_patch

if importlib.util.find_spec("triton") is None:
    pytest.skip("the triton package is not installed", allow_module_level=True)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
#: Rounding of float32 sums in another order; of a type that keeps 8 bits of every layer's values.
CLOSE = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.bfloat16: {"rtol": 0.0, "atol": 0.1},
}
#: Few programs, so that the interpreter is quick, and more than one along every axis.
SMALL = TritonTuning(block=16, head_block=16, rows=2)


def scaled(net: nn.Module, seed: int = 3) -> nn.Module:
    """Random weights whose outputs are of order 1, as in trained nets."""
    randomise(net, seed)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.data /= module.weight[0].numel() ** 0.5
    return net.float().eval()


def triton_net(net: nn.Module, patch_size: int, stride: int, tuning: TritonTuning = SMALL) -> DenseNet:
    dense = densify(net, patch_size, stride, form=Form.TRITON)
    dense.triton = TritonChain(dense.graph, dense.layout, tuning)
    return dense


NETWORKS = {
    # Pools of 2 x 2 after kernels of 4 and 3: the shape of the networks of 2013.
    "dannet": (DanNet(DanNetConfig(((5, 4), (17, 3)), patch_size=14, hidden=10)), 14),
    # A stem of stride 2, two convolutions between pools, a head of three.
    "validnet": (ValidNet(ValidNetConfig(stem=3, stages=(4,), head=6, patch_size=32)), 32),
    "uneven": (
        nn.Sequential(
            nn.Conv2d(3, 4, (3, 2), (1, 2), bias=False),
            nn.ReLU(),
            nn.MaxPool2d((1, 3), (1, 2)),
            nn.Conv2d(4, 3, (2, 1), dilation=(2, 1)),
            nn.Sigmoid(),
            nn.MaxPool2d(3, 1),
            nn.Conv2d(3, 2, (11, 1)),
            nn.Flatten(),
        ),
        17,
    ),
    "one layer": (nn.Sequential(nn.Conv2d(3, 2, 7), nn.Flatten()), 7),
}


@pytest.mark.parametrize(
    ("name", "stride"), [("dannet", 1), ("dannet", 2), ("validnet", 4), ("uneven", 1), ("uneven", 3), ("one layer", 1)]
)
@torch.inference_mode()
def test_the_triton_form_is_the_classifier_patch_by_patch(name: str, stride: int) -> None:
    net, patch_size = NETWORKS[name]
    net = scaled(copy.deepcopy(net))
    image = torch.rand(2, 3, patch_size + 2, patch_size + 17, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = triton_net(net, patch_size, stride).to(DEVICE)(image.to(DEVICE))
    expected = patch_by_patch(net, image, patch_size)[:, :, ::stride, ::stride]
    torch.testing.assert_close(found.cpu(), expected, **CLOSE[torch.float32])


def whole(net: nn.Module) -> nn.Module:
    """Small whole numbers for weights: sums of them and of whole inputs are exact in any order."""
    generator = torch.Generator().manual_seed(3)
    for parameter in net.parameters():
        parameter.data = torch.randint(-4, 5, parameter.shape, generator=generator).float()
    return net.eval()


WHOLE = nn.Sequential(nn.Conv2d(3, 5, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 2, 5), nn.Flatten())


# The interpreter's products are numpy's, which on some processors sums in an order that depends on the shape.
@pytest.mark.parametrize("numbers", ["whole", *(["real"] if DEVICE == "cuda" else [])])
@torch.inference_mode()
def test_scores_do_not_depend_on_how_the_work_is_shared_out(numbers: str) -> None:
    net, patch_size = (WHOLE, 13) if numbers == "whole" else NETWORKS["dannet"]
    net = (whole if numbers == "whole" else scaled)(copy.deepcopy(net))
    image = torch.rand(1, 3, patch_size + 3, patch_size + 20).to(DEVICE)
    image = (image * 16).round() - 8 if numbers == "whole" else image
    found = triton_net(net, patch_size, 1, TritonTuning()).to(DEVICE)(image)
    assert found.std() > 0
    torch.testing.assert_close(found, triton_net(net, patch_size, 1).to(DEVICE)(image), rtol=0, atol=0)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh()])
@torch.inference_mode()
def test_not_a_number_is_lost_in_no_maximum(activation: nn.Module) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.MaxPool2d(2), nn.Conv2d(4, 2, 2), nn.Flatten())
    image = torch.rand(1, 3, 12, 24, generator=torch.Generator().manual_seed(1))
    image[0, 1, 6, 9] = torch.nan
    net, patch_size = scaled(net), 6
    found = triton_net(net, patch_size, 1).to(DEVICE)(image.to(DEVICE)).cpu()
    expected = patch_by_patch(net, image, patch_size)
    assert 0 < expected.isnan().sum() < expected.numel()
    torch.testing.assert_close(found, expected, equal_nan=True, **CLOSE[torch.float32])


@pytest.mark.gpu
@torch.inference_mode()
def test_few_bits_are_close() -> None:
    net, patch_size = NETWORKS["dannet"]
    net = scaled(copy.deepcopy(net))
    image = torch.rand(1, 3, patch_size + 3, patch_size + 5)
    half = copy.deepcopy(triton_net(net, patch_size, 1)).to(DEVICE, torch.bfloat16)
    found = half(image.to(DEVICE, torch.bfloat16))
    assert found.dtype == torch.bfloat16
    exact = densify(net, patch_size, form=Form.DILATION)(image)
    torch.testing.assert_close(found.float().cpu(), exact, **CLOSE[torch.bfloat16])


def test_what_is_no_chain_has_no_triton_form() -> None:
    with pytest.raises(SettingsError, match="no Triton form: the network is no chain"):
        densify(nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU(), nn.Flatten()), 3, form=Form.TRITON)
    wide = densify(nn.Sequential(nn.Conv2d(3, 300, 3), nn.Flatten()).eval(), 3)
    with pytest.raises(TritonUnavailableError, match="more than 256 maps"):
        TritonChain(wide.graph, wide.layout)


def test_runs_cover_each_value_under_the_window_once() -> None:
    for net, patch_size in NETWORKS.values():
        for stride in (1, 2, 4):
            graph = densify(net.float().eval(), patch_size, stride).graph
            layout = Layout.of(graph, stride)
            for index, node in enumerate(graph.nodes):
                if not hasattr(node.layer, "weight"):
                    continue
                unit, channels = plan_unit(graph, layout, index, None), node.layer.weight.shape[1]
                runs = plan_runs(unit, channels, row_pitch=1000 * channels)
                covered = sorted(offset + within for offset in runs.offsets for within in range(runs.length))
                wanted = sorted(
                    row * unit.dilation.rows * 1000 * channels + col * unit.dilation.cols * channels + channel
                    for row in range(unit.kernel.rows)
                    for col in range(unit.kernel.cols)
                    for channel in range(channels)
                )
                assert covered == wanted
                assert all(offset % runs.aligned == 0 for offset in runs.offsets)


@pytest.mark.parametrize(
    ("run", "part", "block"), [(12, 12, 16), (16, 16, 16), (24, 24, 32), (64, 32, 32), (96, 32, 32)]
)
def test_runs_are_cut_without_a_rest(run: int, part: int, block: int) -> None:
    assert largest_part(run) == part
    assert max(16, next_power(part)) == block
