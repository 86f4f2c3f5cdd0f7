"""Laws of exactness: the dense net says of every patch what the classifier says of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.columns.dannet import DNN1, DNN2, DanNet, DanNetConfig
from models.columns.validnet import ValidNet, ValidNetConfig
from models.committee import Committee
from scanner.dense import DenseNet, Form, PatchwiseNet, densify, score_patches
from scanner.dense.network.layers import MaxPool, Step
from scanner.errors import SettingsError
from tests.networks.plain import Classifier, CropResidual, Highway, MultiScale, classifiers, randomise
from tests.networks.reference import patch_by_patch

#: Rounding of sums in another order, in float64, on values of order 1 to 100.
EXACT = {"rtol": 1e-12, "atol": 1e-12}
FORMS = [Form.DILATION, Form.FRAGMENTS]


def image_for(classifier: Classifier, more_rows: int, more_cols: int, *, count: int = 1) -> torch.Tensor:
    channels = next(m.in_channels for m in classifier.net.modules() if isinstance(m, nn.Conv2d))
    shape = (count, channels, classifier.patch_size + more_rows, classifier.patch_size + more_cols)
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@settings(max_examples=250, deadline=None)
@given(classifiers(), st.integers(0, 9), st.integers(0, 9), st.integers(1, 8))
def test_dense_equals_patch_by_patch(classifier: Classifier, more_rows: int, more_cols: int, stride: int) -> None:
    if not any(isinstance(m, nn.Conv2d) for m in classifier.net.modules()):
        classifier = Classifier(randomise(nn.Sequential(nn.Conv2d(1, 1, 2), nn.Flatten(), nn.Linear(64, 2)), 1), 9)
    image = image_for(classifier, more_rows, more_cols)
    with torch.no_grad():
        expected = patch_by_patch(classifier.net, image, classifier.patch_size, stride)
        for form in FORMS:
            dense = densify(classifier.net, classifier.patch_size, stride, form=form)
            torch.testing.assert_close(dense(image), expected, **EXACT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 8, 16, 32])
@pytest.mark.parametrize("config", [DNN1, DNN2], ids=["DNN1", "DNN2"])
def test_networks_of_2013_are_exact(config: DanNetConfig, stride: int, form: Form) -> None:
    net = DanNet(config).double().eval()
    image = torch.randn(1, 3, 101 + 5, 101 + 8, dtype=torch.float64)
    with torch.no_grad():
        expected = score_patches(net, image, 101, stride)
        torch.testing.assert_close(densify(net, 101, stride, form=form)(image), expected, **EXACT)


def test_flop_counts_of_the_networks_of_2013() -> None:
    for config, dense_flops in ((DNN1, 26_896), (DNN2, 74_128)):
        graph = densify(DanNet(config).eval(), 101).graph
        assert graph.flops_per_output() == dense_flops


def _committee() -> Classifier:
    small = DanNetConfig(stages=((4, 3), (4, 2)), patch_size=15, hidden=6)
    large = DanNetConfig(stages=((4, 2), (4, 3), (4, 2)), patch_size=24, hidden=6)
    return Classifier(Committee([DanNet(small), DanNet(large)], [15, 24]), 24)


BRANCHING = {
    "committee of two strides": _committee,
    "residual": lambda: Classifier(
        nn.Sequential(CropResidual(2, 3), nn.MaxPool2d(2), CropResidual(2, 2), nn.Flatten(), nn.Linear(32, 2)), 12
    ),
    "highway": lambda: Classifier(
        nn.Sequential(nn.Conv2d(2, 4, 3), Highway(4, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 3)), 12
    ),
    "global poolings at two scales": lambda: Classifier(MultiScale(2, 3), 11),
    "validnet": lambda: Classifier(ValidNet(ValidNetConfig(stem=4, stages=(4, 6), head=8, patch_size=66)), 66),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", BRANCHING)
def test_branches_are_exact_at_every_stride(name: str, form: Form) -> None:
    classifier = BRANCHING[name]()
    randomise(classifier.net, 3)
    image = image_for(classifier, 9, 6, count=2)
    with torch.no_grad():
        for stride in range(1, 9):
            expected = score_patches(classifier.net, image, classifier.patch_size, stride)
            dense = densify(classifier.net, classifier.patch_size, stride, form=form)
            torch.testing.assert_close(dense(image), expected, **EXACT)


def test_oracle_and_fallback_agree() -> None:
    net = randomise(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 49, 2)), 5)
    images = torch.randn(2, 2, 12, 10, dtype=torch.float64)
    with torch.no_grad():
        expected = patch_by_patch(net, images, 7, 2)
        torch.testing.assert_close(PatchwiseNet(net, 7, 2, batch_size=5)(images), expected, **EXACT)


def test_shifting_the_image_shifts_the_scores() -> None:
    net = randomise(DanNet(DanNetConfig(stages=((3, 2), (3, 3)), patch_size=13, hidden=5)), 2)
    image = torch.randn(1, 3, 30, 30, dtype=torch.float64)
    dense = densify(net, 13)
    with torch.no_grad():
        torch.testing.assert_close(dense(image[:, :, 1:, 2:]), dense(image)[:, :, 1:, 2:], **EXACT)


def test_gradients_through_the_dense_net_are_those_of_the_patches() -> None:
    net = randomise(DanNet(DanNetConfig(stages=((3, 2), (4, 3)), patch_size=13, hidden=5)), 4)
    image = torch.randn(1, 3, 18, 17, dtype=torch.float64)
    weights = torch.randn(1, 2, 6, 5, dtype=torch.float64)
    (score_patches(net, image, 13) * weights).sum().backward()
    expected = {
        name: parameter.grad.clone() for name, parameter in net.named_parameters() if parameter.grad is not None
    }
    for form in FORMS:
        net.zero_grad(set_to_none=True)
        (densify(net, 13, form=form, trainable=True)(image) * weights).sum().backward()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**16))
def test_of_equal_maxima_the_first_has_the_gradient(rows: int, cols: int, stride: int, seed: int) -> None:
    """Few different values, so that most windows hold a tie: decided as max_pool2d decides it."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 3, (2, 3, 11, 12), generator=generator).double()
    ours, reference = (values.clone().requires_grad_() for _ in range(2))
    pooled = MaxPool((rows, cols))(ours, Step(stride, stride), Step(1, 1))
    expected = F.max_pool2d(reference, (rows, cols), stride)
    weights = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(pooled, expected, rtol=0, atol=0)
    torch.testing.assert_close(ours.grad, reference.grad, **EXACT)


def test_float32_stays_within_1e_5_of_patch_by_patch() -> None:
    torch.manual_seed(0)
    for config in (DNN1, DNN2):
        net = DanNet(config).eval()
        image = torch.randn(1, 3, 120, 118)
        with torch.inference_mode():
            expected = score_patches(net, image, 101)
            for form in FORMS:
                torch.testing.assert_close(densify(net, 101, form=form)(image), expected, rtol=0, atol=1e-5)


def test_weights_of_the_classifier_are_left_alone() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    densify(net, 5)
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    dense: DenseNet = densify(DanNet(DanNetConfig(stages=((2, 2),), patch_size=5)).eval(), 5)
    with pytest.raises(SettingsError, match="4 x 9"):
        dense(torch.zeros(1, 3, 4, 9))


@pytest.mark.parametrize(("patch_size", "stride", "form"), [(0, 1, "auto"), (5, 0, "auto"), (5, 1, "fast")])
def test_impossible_requests_are_refused(patch_size: int, stride: int, form: str) -> None:
    with pytest.raises(SettingsError):
        densify(nn.Conv2d(1, 2, 5), patch_size, stride, form=form)


def test_networks_are_made_dense_in_several_threads_at_once() -> None:
    small = DanNetConfig(stages=((4, 3), (4, 2)), patch_size=15, hidden=6)
    with ThreadPoolExecutor(8) as threads:
        dense = list(threads.map(lambda _: densify(DanNet(small).eval(), 15), range(40)))
    assert len(dense) == 40
