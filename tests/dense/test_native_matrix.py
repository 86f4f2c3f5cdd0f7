"""Laws of the native form in bfloat16, on a processor's matrix unit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.columns.dannet import DNN1, DNN2, DanNet, DanNetConfig
from models.columns.validnet import ValidNet, ValidNetConfig
from models.committee import Committee
from models.pixel_tables import apply_table
from scanner.dense import DenseNet, Form, densify
from scanner.dense.native import NativeUnavailableError, Rows, load_kernel
from tests.networks.plain import draw_stages
from tests.networks.reference import patch_by_patch

try:
    library = load_kernel().library
except NativeUnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)

needs_unit = pytest.mark.skipif(not library.mitoscan_has_matrix(), reason="the processor has no matrix unit")

#: Logits of order 1 whose layers are each rounded to 8 bits.
NEAR = {"rtol": 0.0, "atol": 0.02}
#: float32 holds whole numbers up to here.
WHOLE = 2**24

NETWORKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "DNN1": lambda: (DanNet(DNN1).eval(), 101),
    "DNN2": lambda: (DanNet(DNN2).eval(), 101),
    "validnet": lambda: (ValidNet(ValidNetConfig()).eval(), 86),
}


class Rounded(nn.Module):
    """What is kept of a number between two layers; refuses what float32 could not have summed exactly."""

    def forward(self, x: Tensor) -> Tensor:
        assume(float(x.abs().max()) < WHOLE)
        return x.bfloat16().to(x.dtype)


@st.composite
def whole_chains(draw: st.DrawFn) -> tuple[nn.Module, nn.Module, int, int]:
    """A chain with whole numbers for weights, the same with its roundings, its patch size and its channels."""
    channels, patch_size = draw(st.sampled_from([1, 2, 3, 3, 5, 40])), draw(st.integers(8, 22))
    maps = st.sampled_from([1, 3, 15, 16, 17, 24, 33, 50, 80])
    stages, width, side = draw_stages(draw, channels, patch_size, most=3, maps=maps, activations=[nn.ReLU, nn.Identity])
    layers = [layer for stage in stages for layer in (*stage, Rounded())]
    layers += [nn.Flatten(), nn.Linear(width * side * side, 2)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    for layer in layers:
        for parameter in layer.parameters():  # Mostly zeros: sums stay small.
            few = torch.rand(parameter.shape, generator=generator) < 8 / parameter[0].numel()
            sign = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
            parameter.data = (few * sign).to(parameter.dtype)
    plain = nn.Sequential(*(layer for layer in layers if not isinstance(layer, Rounded)))
    return plain.eval(), nn.Sequential(*layers).eval(), patch_size, channels


@needs_unit
@settings(max_examples=100, deadline=None)
@given(whole_chains(), st.tuples(st.integers(0, 70), st.integers(0, 70)), st.integers(1, 5))
def test_whole_numbers_come_out_as_patch_by_patch(
    chain: tuple[nn.Module, nn.Module, int, int], more: tuple[int, int], stride: int
) -> None:
    plain, rounded, patch_size, channels = chain
    shape = (2, channels, patch_size + more[0], patch_size + more[1])
    images = torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(7)).float()
    with torch.inference_mode():
        expected = patch_by_patch(rounded, images, patch_size, stride)
        fast = densify(plain, patch_size, stride).to(torch.bfloat16)
        assert fast.native is not None
        assert fast.native.rows is Rows.MATRIX
        torch.testing.assert_close(fast(images.bfloat16()), expected, rtol=0, atol=0)


def fast_net(name: str, stride: int) -> DenseNet:
    torch.manual_seed(3)
    net, patch_size = NETWORKS[name]()
    return densify(net, patch_size, stride).to(torch.bfloat16)


@needs_unit
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_shipped_families_are_near(name: str, stride: int) -> None:
    fast = fast_net(name, stride)
    torch.manual_seed(3)
    net, patch_size = NETWORKS[name]()
    image = torch.rand(1, 3, patch_size + 9, patch_size + 40) * 2 - 1
    with torch.inference_mode():
        found = fast(image.bfloat16())
        assert found.dtype is torch.float32
        torch.testing.assert_close(found, patch_by_patch(net, image, patch_size, stride), **NEAR)


@needs_unit
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stride", [1, 4])
def test_scores_do_not_depend_on_tiles_threads_or_memory_layout(name: str, stride: int) -> None:
    fast = fast_net(name, stride)
    image = torch.rand(1, 3, fast.patch_size + 99, fast.patch_size + 203).bfloat16()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = fast(image)
        for count, (top, left) in enumerate(((0, 0), (4, 8), (20, 100), (60, 164)), start=1):
            torch.set_num_threads(count)
            part = fast(image[:, :, top:, left : left + fast.patch_size + 38])
            expected = whole[:, :, top // stride :, left // stride : left // stride + part.shape[3]]
            torch.testing.assert_close(part, expected, rtol=0, atol=0)
        last = image.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(fast(last), whole, rtol=0, atol=0)
    finally:
        torch.set_num_threads(threads)


@needs_unit
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_broken_pixel_spoils_just_the_patches_that_see_it(channels: int) -> None:
    torch.manual_seed(3)
    layers = nn.Conv2d(channels, 20, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(20, 3, 3), nn.Flatten(), nn.Linear(27, 2)
    fast = densify(nn.Sequential(*layers).eval(), 14).to(torch.bfloat16)
    image = torch.rand(1, channels, 40, 90)
    image[0, channels - 1, 20, 41] = float("nan")
    with torch.inference_mode():
        is_broken = fast(image.bfloat16())[0, 0].isnan()
    assert is_broken[7:21, 28:42].all()
    assert int(is_broken.sum()) == 14 * 14


@needs_unit
def test_columns_copies_and_the_way_back_are_served() -> None:
    torch.manual_seed(1)
    sides = 15, 24
    columns = [DanNet(DanNetConfig(stages=((4, 3), (5, 2)), patch_size=side, hidden=6)) for side in sides]
    exact = densify(Committee(columns, sides).eval(), 24, 2)
    image = torch.rand(1, 3, 40, 44)
    with torch.inference_mode():
        expected = exact(image)
        fast = copy.deepcopy(exact).to(torch.bfloat16)
        assert fast.form is Form.NATIVE
        torch.testing.assert_close(fast(image.bfloat16()), expected, **NEAR)
        torch.testing.assert_close(copy.deepcopy(fast)(image.bfloat16()), fast(image.bfloat16()), rtol=0, atol=0)
        back = fast.float()
        assert back.form is Form.NATIVE
        torch.testing.assert_close(back(image), expected, **NEAR)


def test_without_a_matrix_unit_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "mitoscan_has_matrix", lambda: 0)
    torch.manual_seed(3)
    net, patch_size = NETWORKS["DNN2"]()
    image = torch.rand(1, 3, 105, 106)
    for form in (Form.AUTO, Form.NATIVE):
        fast = densify(net, patch_size, form=form).to(torch.bfloat16)
        assert fast.native is None
        with torch.inference_mode():
            found = fast(image.bfloat16())
            assert found.dtype is torch.bfloat16
            torch.testing.assert_close(found.float(), patch_by_patch(net, image, patch_size, 1), **NEAR)
    assert densify(net, patch_size).to(torch.bfloat16).form is Form.DILATION


@needs_unit
def test_bytes_are_looked_up_on_the_way() -> None:
    fast = fast_net("validnet", 8)
    pixels = torch.randint(0, 256, (1, fast.patch_size + 40, fast.patch_size + 77, 3), dtype=torch.uint8)
    table = torch.randn(3, 256).bfloat16()
    torch.testing.assert_close(fast.score_bytes(pixels, table), fast(apply_table(pixels, table)), rtol=0, atol=0)
