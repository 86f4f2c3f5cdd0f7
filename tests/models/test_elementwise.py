"""Laws of the functions of single values: the bits of a value do not depend on where it lies, nor on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from models.elementwise import sigmoid, softmax

SHAPES = ((1, 2, 3, 3), (1, 2, 5, 5), (1, 2, 41, 37), (1, 3, 11, 9), (2, 5, 203, 331))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("function", [sigmoid, partial(softmax, dim=1)])
@pytest.mark.parametrize("shape", SHAPES)
def test_threads_and_neighbours_change_no_bit(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 5
    torch.set_num_threads(1)
    expected = function(x)
    for count in (2, 3, 5):
        torch.set_num_threads(count)
        assert torch.equal(function(x), expected), f"{count} threads"
    part = (..., slice(1, None), slice(2, None))
    assert torch.equal(function(x[part]), expected[part])


def test_they_are_what_torch_computes() -> None:
    x = torch.linspace(-800, 800, 4000, dtype=torch.float64).reshape(2, 4, 500)
    torch.testing.assert_close(sigmoid(x), torch.sigmoid(x), rtol=1e-14, atol=0.0)
    torch.testing.assert_close(softmax(x, dim=1), torch.softmax(x, dim=1), rtol=1e-13, atol=0.0)
    assert sigmoid(torch.tensor([-1e30, 1e30])).tolist() == [0.0, 1.0]
