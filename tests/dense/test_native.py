"""Laws of the native form: the same numbers as patch by patch, bit-identical however the work is cut."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.columns.dannet import DNN1, DNN2, DanNet, DanNetConfig
from models.columns.validnet import ValidNet, ValidNetConfig
from models.committee import Committee
from models.pixel_tables import apply_table
from scanner.dense import DenseNet, Form, densify
from scanner.dense.native import NativeChain, NativeUnavailableError, Rows, load_kernel, run
from scanner.dense.native.chain import choose_rows
from scanner.dense.native.library import SWITCH
from scanner.dense.native.packing import Shape
from scanner.errors import SettingsError
from tests.networks.plain import Classifier, CropResidual, chains
from tests.networks.reference import patch_by_patch

#: Rounding of float32 sums in another order, on logits of order 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
#: Those in float32; the others have laws of their own in test_native_matrix.py.
FLOAT_ROWS = (Rows.PLANAR, Rows.INTERLEAVED)

#: The kernel that this machine would take, and the ones for common kinds of processor that it can run, whatever it is.
KERNELS = list(dict.fromkeys([os.environ.get(SWITCH, ""), "x86-64-v3", "x86-64-v4"]))


@pytest.fixture(scope="module", params=KERNELS, autouse=True)
def kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, request.param)
        try:
            load_kernel()
        except NativeUnavailableError as error:
            pytest.skip(str(error))
        yield


@settings(max_examples=150, deadline=None)
@given(chains(), st.tuples(st.integers(0, 40), st.integers(0, 40)), st.integers(1, 6), st.sampled_from(FLOAT_ROWS))
def test_native_equals_patch_by_patch(classifier: Classifier, more: tuple[int, int], stride: int, rows: Rows) -> None:
    channels = next(m.in_channels for m in classifier.net.modules() if isinstance(m, nn.Conv2d))
    shape = (2, channels, classifier.patch_size + more[0], classifier.patch_size + more[1])
    images = torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    with torch.no_grad():
        expected = densify(classifier.net, classifier.patch_size, stride)(images)  # exact in float64: test_dense_net.py
        native = densify(copy.deepcopy(classifier.net).float(), classifier.patch_size, stride, form=Form.NATIVE)
        native.native = NativeChain(native.graph, native.layout, rows)
        torch.testing.assert_close(native(images.float()).double(), expected, **CLOSE)


NETWORKS = {
    "DNN1": lambda: Classifier(DanNet(DNN1), 101),
    "DNN2": lambda: Classifier(DanNet(DNN2), 101),
    "validnet": lambda: Classifier(ValidNet(ValidNetConfig()), 86),
}


def native_of(name: str, stride: int = 1, rows: Rows | None = None) -> DenseNet:
    torch.manual_seed(3)
    classifier = NETWORKS[name]()
    dense = densify(classifier.net.eval(), classifier.patch_size, stride)
    assert dense.form is Form.NATIVE
    dense.native = NativeChain(dense.graph, dense.layout, rows)
    return dense


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_shipped_families_are_exact(name: str, stride: int) -> None:
    torch.manual_seed(3)
    classifier = NETWORKS[name]()
    net = classifier.net.eval()
    image = torch.rand(1, 3, classifier.patch_size + 9, classifier.patch_size + 17) * 2 - 1
    with torch.no_grad():
        expected = patch_by_patch(net, image, classifier.patch_size, stride)
        torch.testing.assert_close(densify(net, classifier.patch_size, stride)(image), expected, **CLOSE)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stride", [1, 4])
def test_scores_do_not_depend_on_how_the_image_is_cut(name: str, stride: int, rows: Rows) -> None:
    dense = native_of(name, stride, rows)
    image = torch.rand(1, 3, dense.patch_size + 99, dense.patch_size + 203)
    whole = dense(image)
    for top, left in ((0, 0), (4, 8), (20, 100), (60, 164)):
        part = dense(image[:, :, top:, left : left + dense.patch_size + 38])
        expected = whole[:, :, top // stride :, left // stride : left // stride + part.shape[3]]
        torch.testing.assert_close(part, expected, rtol=0, atol=0)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stride", [1, 3, 8])
def test_wide_images_are_scored_in_strips(name: str, stride: int, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = native_of(name, stride, rows)
    image = torch.rand(2, 3, dense.patch_size + 20, dense.patch_size + 333)
    whole = dense(image)
    for columns in (37, 100, 250):
        monkeypatch.setattr(run, "STRIP_COLUMNS", columns)
        torch.testing.assert_close(dense(image), whole, rtol=0, atol=0)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_do_not_depend_on_threads_or_memory_layout(name: str, rows: Rows) -> None:
    dense = native_of(name, 2, rows)
    image = torch.rand(1, 3, dense.patch_size + 30, dense.patch_size + 301)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = dense(image)
        for count in (2, 3, 7):
            torch.set_num_threads(count)
            last = image.contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(dense(last), expected, rtol=0, atol=0)
    finally:
        torch.set_num_threads(threads)


def test_activations_are_those_of_torch() -> None:
    values = torch.cat([torch.linspace(-12, 12, 100_001), torch.tensor([0.0, 1e-30, 1e-6, 300.0, -300.0])])
    for activation, tolerance in ((nn.Tanh(), 5e-7), (nn.Sigmoid(), 5e-7), (nn.ReLU(), 0)):
        net = nn.Sequential(nn.Conv2d(1, 1, 1), activation, nn.Conv2d(1, 1, 1), nn.Flatten())
        for layer in (net[0], net[2]):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        scores = densify(net.eval(), 1, form=Form.NATIVE)(values.view(1, 1, 1, -1)).flatten()
        torch.testing.assert_close(scores, activation(values), rtol=0, atol=tolerance)


@pytest.mark.parametrize("rows", FLOAT_ROWS)
def test_a_broken_pixel_spoils_just_the_patches_that_see_it(rows: Rows) -> None:
    dense = native_of("DNN2", rows=rows)
    image = torch.rand(1, 3, 120, 240)
    image[0, 1, 60, 119] = float("nan")
    is_broken = dense(image)[0, 0].isnan()
    assert is_broken[:, 119 - 100 : 119 + 1].all()
    assert not is_broken[:, : 119 - 100].any()
    assert not is_broken[:, 119 + 1 :].any()


def test_other_graphs_and_types_take_the_dilated_form() -> None:
    residual = nn.Sequential(CropResidual(3, 3), nn.Flatten(), nn.Linear(3 * 11 * 11, 2)).eval()
    assert densify(residual, 13).form is Form.DILATION
    with pytest.raises(SettingsError, match="no native form: the network is no chain"):
        densify(residual, 13, form=Form.NATIVE)
    small = DanNetConfig(stages=((4, 3), (4, 2)), patch_size=15, hidden=6)
    assert densify(DanNet(small).double().eval(), 15).form is Form.DILATION


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**16))
def test_columns_of_a_committee_are_native_each(stride: int, more_rows: int, more_cols: int, seed: int) -> None:
    torch.manual_seed(seed)  # As they are initialised: their logits are of order 1.
    sides = 15, 24, 17
    columns = [DanNet(DanNetConfig(stages=((4, 3), (5, 2)), patch_size=side, hidden=6)) for side in sides]
    committee = Committee(columns, sides).eval()
    dense = densify(committee, 24, stride)
    assert dense.form is Form.NATIVE
    image = torch.rand(2, 3, 24 + more_rows, 24 + more_cols, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected = patch_by_patch(committee, image, 24, stride)
        torch.testing.assert_close(dense(image), expected, **CLOSE)
        torch.testing.assert_close(copy.deepcopy(dense)(image), dense(image), rtol=0, atol=0)
        torch.testing.assert_close(dense.double()(image.double()).float(), expected, **CLOSE)


def test_gradients_of_the_image_and_copies_of_the_net_are_served() -> None:
    small = DanNetConfig(stages=((4, 3), (4, 2)), patch_size=15, hidden=6)
    dense = densify(DanNet(small).eval(), 15)
    image = torch.rand(1, 3, 20, 22, requires_grad=True)
    dense(image).sum().backward()
    assert image.grad is not None
    image = image.detach()
    expected = dense(image)
    torch.testing.assert_close(copy.deepcopy(dense)(image), expected, rtol=0, atol=0)
    torch.testing.assert_close(dense.double()(image.double()).float(), expected, **CLOSE)


@pytest.mark.parametrize(("name", "rows"), [("DNN2", Rows.PLANAR), ("validnet", Rows.INTERLEAVED)])
def test_rows_are_chosen_by_how_well_maps_fill_vectors(name: str, rows: Rows) -> None:
    # DNN2 has 16 maps, one vector whose inputs serve one addition each, and 100, six vectors and a quarter.
    dense = native_of(name)
    chosen, reason = choose_rows(dense.graph, dense.layout, Shape(planar_block=8, lanes=16, most_blocks=4))
    assert chosen is rows
    assert reason.startswith(f"{rows} rows")


def test_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(SettingsError, match="1 channels, the network wants 3"):
        native_of("DNN2")(torch.rand(1, 1, 120, 120))


@pytest.mark.parametrize(("switch", "compiler"), [("0", "g++"), ("{folder}", "false")])
def test_without_the_kernel_torch_does_it(switch: str, compiler: str, tmp_path: object) -> None:
    code = (
        "from models.columns.dannet import DNN2, DanNet; from scanner.dense import densify;"
        "print(densify(DanNet(DNN2).eval(), 101).form)"
    )
    env = {"MITOSCAN_NATIVE": switch.format(folder=tmp_path), "CXX": compiler, "PATH": "/usr/bin:/bin"}
    found = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "dilation"


@pytest.mark.parametrize("rows", FLOAT_ROWS)
@pytest.mark.parametrize("threads", [1, 2])
def test_bytes_are_looked_up_on_the_way(rows: Rows, threads: int) -> None:
    dense = native_of("DNN1", 2, rows)
    pixels = torch.randint(0, 256, (2, dense.patch_size + 40, dense.patch_size + 77, 3), dtype=torch.uint8)
    table = torch.randn(3, 256)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        expected = dense(apply_table(pixels, table))
        torch.testing.assert_close(dense.score_bytes(pixels, table), expected, rtol=0, atol=0)
        part = pixels[:, 3:, 10:]  # a view, as tiles that are cut into parts are
        torch.testing.assert_close(dense.score_bytes(part, table), dense(apply_table(part, table)), rtol=0, atol=0)
    finally:
        torch.set_num_threads(before)


def test_bytes_of_what_has_no_native_form_are_looked_up_before() -> None:
    pixels = torch.randint(0, 256, (1, 20, 22, 3), dtype=torch.uint8)
    small = DanNetConfig(stages=((4, 3), (4, 2)), patch_size=15, hidden=6)
    for net, table in ((DanNet(small), torch.randn(3, 256)), (DanNet(small).double(), torch.randn(3, 256).double())):
        dense = densify(net.eval(), 15)
        torch.testing.assert_close(dense.score_bytes(pixels, table), dense(apply_table(pixels, table)), rtol=0, atol=0)
    with pytest.raises(SettingsError, match="smaller"):
        densify(DanNet(small).eval(), 15).score_bytes(pixels[:, :9], torch.randn(3, 256))
