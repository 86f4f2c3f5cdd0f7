"""Patches that are not square, and classifiers with several heads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scanner.dense import Form, densify, score_patches
from scanner.errors import InexactLayerError
from tests.networks.plain import randomise
from tests.networks.reference import patch_by_patch

EXACT = {"rtol": 1e-12, "atol": 1e-12}
FORMS = [Form.DILATION, Form.FRAGMENTS]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("patch_shape", [(9, 17), (20, 11)])
def test_rectangular_patches_are_exact(patch_shape: tuple[int, int], form: Form) -> None:
    layers = [nn.Conv2d(2, 3, (2, 4)), nn.Tanh(), nn.MaxPool2d((2, 3), (2, 3)), nn.Flatten(), nn.LazyLinear(2)]
    net = nn.Sequential(*layers).eval()
    net(torch.zeros(1, 2, *patch_shape))
    randomise(net, 1)
    image = torch.randn(1, 2, 27, 26, dtype=torch.float64)
    with torch.no_grad():
        for stride in (1, 2, 3):
            expected = patch_by_patch(net, image, patch_shape, stride)
            assert densify(net, patch_shape, stride, form=form)(image).shape == expected.shape
            torch.testing.assert_close(densify(net, patch_shape, stride, form=form)(image), expected, **EXACT)
            torch.testing.assert_close(score_patches(net, image, patch_shape, stride), expected, **EXACT)


class TwoHeads(nn.Module):
    """A class and a number for each patch; `form` says how they are returned."""

    def __init__(self, form: type) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.kind = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.size = nn.Sequential(nn.Conv2d(4, 1, 4), nn.Flatten())
        self.form = form

    def forward(self, x: Tensor) -> object:
        x = self.body(x)
        kind, size = self.kind(x), self.size(x)
        return {"kind": kind, "size": size} if self.form is dict else self.form((kind, size))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("structure", [tuple, list, dict])
def test_every_head_is_exact(structure: type, form: Form) -> None:
    net = randomise(TwoHeads(structure), 2)
    image = torch.randn(2, 2, 17, 15, dtype=torch.float64)
    with torch.no_grad():
        for stride in (1, 2):
            found, loop = densify(net, 10, stride, form=form)(image), score_patches(net, image, 10, stride)
            heads = {"kind": net.kind, "size": net.size}
            for index, (name, head) in enumerate(heads.items()):
                key = name if structure is dict else index
                expected = patch_by_patch(nn.Sequential(net.body, head), image, 10, stride)
                torch.testing.assert_close(found[key], expected, **EXACT)
                torch.testing.assert_close(loop[key], expected, **EXACT)


def test_heads_that_are_no_answers_are_refused() -> None:
    class Nested(nn.Module):
        def forward(self, x: Tensor) -> object:
            return x, {"deep": x}

    class Spatial(nn.Module):
        def forward(self, x: Tensor) -> object:
            return x.mean((2, 3)), x

    for net, reason in ((Nested(), "heads within heads"), (Spatial(), "one answer per patch")):
        with pytest.raises(InexactLayerError, match=reason):
            densify(net, 5)
