"""Laws of the native form on ARM64: cross-compiled, and run by an emulator where this is another processor."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.columns.dannet import DanNet, DanNetConfig
from models.pixel_tables import apply_table
from scanner.dense import DenseNet, Form, densify
from scanner.dense.native import Kernel, NativeChain, Origin, Rows, run
from scanner.dense.native.build import targets_of
from scanner.dense.native.packing import Shape
from tests.conftest import require_system
from tests.dense.emulated import EmulatedLibrary
from tests.networks.plain import Classifier, chains

if platform.machine() == "aarch64":
    pytest.skip("this machine runs the kernel itself: test_native.py", allow_module_level=True)

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
FLOAT_ROWS = (Rows.PLANAR, Rows.INTERLEAVED)
SMALL = DanNetConfig(stages=((9, 3), (17, 2)), patch_size=15, hidden=6)


@pytest.fixture(scope="module", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedLibrary]:
    compiler, emulator = require_system("aarch64-linux-gnu-g++"), require_system("qemu-aarch64")
    (target,) = targets_of("aarch64")
    emulated = EmulatedLibrary(compiler, emulator, target, tmp_path_factory.mktemp("arm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "load_kernel", lambda: Kernel(emulated, Origin.COMPILED, target))
        yield emulated


def native_of(net: nn.Module, patch_size: int, stride: int, rows: Rows) -> DenseNet:
    dense = densify(net, patch_size, stride, form=Form.NATIVE)
    dense.native = NativeChain(dense.graph, dense.layout, rows)
    return dense


def small_net(stride: int, rows: Rows) -> DenseNet:
    torch.manual_seed(3)
    return native_of(DanNet(SMALL).eval(), 15, stride, rows)


def test_tiles_are_those_of_32_registers_of_4_numbers(library: EmulatedLibrary) -> None:
    shape = Shape(
        library.mitoscan_planar_block(), library.mitoscan_interleaved_lanes(), library.mitoscan_interleaved_blocks()
    )
    assert shape == Shape(planar_block=8, lanes=4, most_blocks=4)


@settings(max_examples=20, deadline=None)
@given(chains(), st.tuples(st.integers(0, 20), st.integers(0, 40)), st.integers(1, 5), st.sampled_from(FLOAT_ROWS))
def test_native_equals_patch_by_patch(classifier: Classifier, more: tuple[int, int], stride: int, rows: Rows) -> None:
    channels = next(m.in_channels for m in classifier.net.modules() if isinstance(m, nn.Conv2d))
    shape = (1, channels, classifier.patch_size + more[0], classifier.patch_size + more[1])
    images = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        native = native_of(classifier.net.float(), classifier.patch_size, stride, rows)
        expected = densify(classifier.net.double(), classifier.patch_size, stride)(images.double())
        torch.testing.assert_close(native(images).double(), expected, **CLOSE)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
def test_scores_do_not_depend_on_cuts_threads_or_memory_layout(rows: Rows) -> None:
    dense = small_net(2, rows)
    image = torch.rand(1, 3, 44, 151)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = dense(image)
        torch.set_num_threads(3)
        last = image.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(dense(last), whole, rtol=0, atol=0)
        part = dense(image[:, :, 4:, 10:80])
        torch.testing.assert_close(part, whole[:, :, 2:, 5 : 5 + part.shape[3]], rtol=0, atol=0)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
def test_a_broken_pixel_spoils_just_the_patches_that_see_it(rows: Rows) -> None:
    dense = small_net(1, rows)
    image = torch.rand(1, 3, 30, 60)
    image[0, 1, 20, 29] = float("nan")
    torch.manual_seed(3)
    expected = densify(DanNet(SMALL).eval(), 15, form=Form.DILATION)(image).isnan()
    assert 0 < int(expected.sum()) < expected.numel()
    torch.testing.assert_close(dense(image).isnan(), expected)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
def test_bytes_are_looked_up_on_the_way(rows: Rows) -> None:
    dense = small_net(2, rows)
    pixels = torch.randint(0, 256, (1, 30, 57, 3), dtype=torch.uint8)
    table = torch.randn(3, 256)
    expected = dense(apply_table(pixels, table))
    torch.testing.assert_close(dense.score_bytes(pixels, table), expected, rtol=0, atol=0)


def test_activations_are_those_of_torch() -> None:
    values = torch.cat([torch.linspace(-12, 12, 10_001), torch.tensor([0.0, 1e-30, 1e-6, 300.0, -300.0])])
    for activation, tolerance in ((nn.Tanh(), 5e-7), (nn.Sigmoid(), 5e-7), (nn.ReLU(), 0)):
        net = nn.Sequential(nn.Conv2d(1, 1, 1), activation, nn.Conv2d(1, 1, 1), nn.Flatten())
        for layer in (net[0], net[2]):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        scores = densify(net.eval(), 1, form=Form.NATIVE)(values.view(1, 1, 1, -1)).flatten()
        torch.testing.assert_close(scores, activation(values), rtol=0, atol=tolerance)
