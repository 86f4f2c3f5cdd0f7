"""Every layer kind that cannot be dense exactly is refused, by its name in the classifier."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanner import InexactLayerError, densify
from tests.networks.plain import randomise
from tests.networks.reference import patch_by_patch


def chain(layer: nn.Module, *, patch_size: int = 12) -> nn.Module:
    """A convolution, the layer in question as "1", and a head that fits."""
    front = nn.Sequential(nn.Conv2d(3, 4, 3), layer)
    front.eval()
    shape = front(torch.zeros(2, 3, patch_size, patch_size)).shape
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(shape[1:].numel(), 2)).eval()


INEXACT_LAYERS = {
    "padding in a convolution": nn.Conv2d(4, 4, 3, padding=1),
    "same padding": nn.Conv2d(4, 4, 3, padding="same"),
    "padding in max-pooling": nn.MaxPool2d(2, padding=1),
    "padding in average-pooling": nn.AvgPool2d(3, padding=1),
    "ceil mode that truncates": nn.MaxPool2d(3, 2, ceil_mode=True),
    "zero padding": nn.ZeroPad2d(1),
    "reflection padding": nn.ReflectionPad2d(1),
    "instance norm": nn.InstanceNorm2d(4),
    "group norm": nn.GroupNorm(2, 4),
    "layer norm over space": nn.LayerNorm([4, 10, 10]),
    "unequal adaptive pooling": nn.AdaptiveAvgPool2d(3),
    "upsampling": nn.Upsample(scale_factor=2),
    "transposed convolution": nn.ConvTranspose2d(4, 4, 2),
    "pixel shuffle": nn.PixelShuffle(2),
    "softmax over columns": nn.Softmax(dim=3),
    "bilinear resampling": nn.UpsamplingBilinear2d(scale_factor=2),
    "unfolding": nn.Unflatten(1, (4, 1)),
}


@pytest.mark.parametrize("kind", INEXACT_LAYERS)
def test_inexact_layer_is_refused_by_name(kind: str) -> None:
    with pytest.raises(InexactLayerError) as caught:
        densify(chain(INEXACT_LAYERS[kind]), 12)
    assert caught.value.layer == "1"
    assert caught.value.reason in str(caught.value)


def test_batch_norm_and_dropout_in_training_mode_are_refused() -> None:
    for layer in (nn.BatchNorm2d(4), nn.Dropout(0.5), nn.BatchNorm2d(4, track_running_stats=False)):
        net = chain(layer)
        if not isinstance(layer, nn.BatchNorm2d) or layer.track_running_stats:
            layer.train()
        with pytest.raises(InexactLayerError, match=r"'1'.*eval\(\)"):
            densify(net, 12)


class Block(nn.Module):
    """Holds one function of the features, so that it is called inside a named module."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        assert callable(self.function)
        out: Tensor = self.function(x)
        return out


INEXACT_FUNCTIONS = {
    "squeeze and excite": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "padding": lambda x: F.pad(x, (1, 1, 1, 1)),
    "patch standardisation": lambda x: (x - x.mean()) / x.std(),
    "attention": lambda x: torch.softmax(x.flatten(2), dim=-1).reshape(x.shape),
    "transposition": lambda x: x.transpose(2, 3),
    "flip": lambda x: x.flip(3),
    "sorting": lambda x: x.sort(dim=3)[0],
    "cumulative sum": lambda x: x.cumsum(2),
    "interpolation": lambda x: F.interpolate(x, scale_factor=2),
    "resize to a fixed size": lambda x: F.adaptive_max_pool2d(x, 7),
    "a row on its own": lambda x: x[:, :, 0],
    "random": lambda x: F.dropout(x, 0.5, training=True),
    "a mask of the patch": lambda x: x * torch.linspace(0, 1, 10),
    "splitting": lambda x: torch.cat(torch.split(x, 5, dim=2), dim=1),
    "branches of different scale": lambda x: F.max_pool2d(x, 2) + x[:, :, :5, :5],
    "mixing rows by a matrix": lambda x: x @ torch.ones(10, 10),
    "in-place write into the image's neighbour": lambda x: x.roll(1, 2),
}


@pytest.mark.parametrize("kind", INEXACT_FUNCTIONS)
def test_inexact_function_is_refused_by_the_name_of_its_module(kind: str) -> None:
    with pytest.raises(InexactLayerError) as caught:
        densify(chain(Block(INEXACT_FUNCTIONS[kind])), 12)
    assert caught.value.layer.startswith("1.")


EXACT_FUNCTIONS = {
    "negative padding": lambda x: F.pad(x, (-1, -2, -3, 0)),
    "strided slice": lambda x: x[:, :, 1::2, ::3],
    "channel slice": lambda x: x[:, 1:3],
    "ellipsis crop": lambda x: x[..., 2:-1, 1:-2],
    "functional pools": lambda x: F.avg_pool2d(F.max_pool2d(x, 3, 1), 2),
    "arithmetic": lambda x: (1 - x) * x.abs().clamp(max=2.0) / 3,
    "adaptive pooling into equal windows": lambda x: F.adaptive_avg_pool2d(x, 5),
    "mean over space": lambda x: x.mean((2, 3)),
    "view": lambda x: x.view(x.size(0), -1),
    "ceil mode without remainder": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "in-place activation": lambda x: F.relu(x, inplace=True) + x,
    "maximum of two": lambda x: torch.maximum(x, -x),
    "functional convolution": lambda x: F.conv2d(x, torch.ones(4, 1, 3, 2, dtype=x.dtype) / 3, groups=4),
    "local response": lambda x: F.local_response_norm(x, 3),
}


@pytest.mark.parametrize("form", ["dilation", "fragments"])
@pytest.mark.parametrize("kind", EXACT_FUNCTIONS)
def test_exact_function_is_exact(kind: str, form: str) -> None:
    block = Block(EXACT_FUNCTIONS[kind])
    shape = block(torch.zeros(2, 4, 10, 10)).shape
    tail = [nn.Linear(shape[1:].numel(), 2)] if len(shape) == 2 else [nn.Flatten(), nn.Linear(shape[1:].numel(), 2)]
    net = randomise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), block, *tail), 11)
    image = torch.randn(1, 3, 19, 16, dtype=torch.float64)
    with torch.no_grad():
        for stride in (1, 2, 3):
            dense = densify(net, 12, stride, form=form)
            torch.testing.assert_close(dense(image), patch_by_patch(net, image, 12, stride), rtol=1e-12, atol=1e-12)


def test_a_classifier_with_control_flow_is_refused() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(InexactLayerError, match="Branching"):
        densify(Branching(), 5)


def test_a_patch_too_small_is_refused_by_the_layer_that_fails() -> None:
    with pytest.raises(InexactLayerError, match=r"'1'.*fails on a patch of this size"):
        densify(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 4), nn.Flatten()), 5)


def test_an_output_with_space_left_is_refused() -> None:
    with pytest.raises(InexactLayerError, match="one answer per patch"):
        densify(nn.Conv2d(1, 2, 3), 5)


class NormAndActivation(nn.BatchNorm2d):
    """A BatchNorm in name, which does more."""

    def forward(self, x: Tensor) -> Tensor:
        out = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, self.eps)
        return F.silu(out)


class Shifted(nn.Conv2d):
    """A convolution in name, which looks elsewhere in each patch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).roll(1, 2)


def test_a_subclass_of_a_known_layer_is_taken_for_what_it_computes() -> None:
    net = chain(NormAndActivation(4)).double()
    image = torch.randn(1, 3, 15, 14, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(densify(net, 12)(image), patch_by_patch(net, image, 12), rtol=1e-12, atol=1e-12)
    with pytest.raises(InexactLayerError, match=r"'1\.roll'"):
        densify(chain(Shifted(4, 4, 3)), 12)
