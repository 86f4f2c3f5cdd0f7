"""A function replayed from a graph gives what it gives when called; stand-ins take CUDA's place where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from scanner.dense.gpu.cuda_graph import GraphedFunction


class Stream:
    """A stream on which all is done at once."""

    def synchronize(self) -> None:
        """Nothing is under way."""


class Doubling:
    """Doubles its argument; remembers the tensors, as a graph remembers addresses."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.calls.append((x, x * 2))
        return self.calls[-1][1]


@pytest.fixture
def doubling(monkeypatch: pytest.MonkeyPatch) -> Doubling:
    function = Doubling()

    class Graph:
        def replay(self) -> None:
            source, result = self.captured
            result.copy_(source * 2)

    @contextmanager
    def capture(graph: Graph, **_settings: object) -> Iterator[None]:
        yield
        graph.captured = function.calls[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    return function


def test_replays_give_what_calls_give_in_memory_of_their_own(doubling: Doubling) -> None:
    graphed = GraphedFunction(doubling, Stream(), (2, 3))  # type: ignore[arg-type]
    found = [graphed(torch.full((2, 3), float(value))) for value in range(6)]
    for value, result in enumerate(found):
        assert result.equal(torch.full((2, 3), 2.0 * value))
    assert len(doubling.calls) == 2  # Once as it is, once to capture.
    graphed.clear()
    assert graphed(torch.full((2, 3), 9.0)).equal(torch.full((2, 3), 18.0))


def test_only_the_full_tile_is_captured(doubling: Doubling) -> None:
    graphed = GraphedFunction(doubling, Stream(), (4,))  # type: ignore[arg-type]
    for length in (3, 5, 3, 5, 3):
        assert graphed(torch.ones(length)).equal(torch.full((length,), 2.0))
    assert len(doubling.calls) == 5


def test_what_cannot_be_captured_is_raised(doubling: Doubling, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    graphed = GraphedFunction(doubling, Stream(), (4,))  # type: ignore[arg-type]
    graphed(torch.ones(4))
    with pytest.raises(torch.OutOfMemoryError):
        graphed(torch.ones(4))


@pytest.mark.gpu
def test_a_graph_on_a_gpu_is_the_function() -> None:
    stream = torch.cuda.Stream()
    weights = torch.randn(8, 3, 5, 5, device="cuda")
    graphed = GraphedFunction(lambda x: torch.tanh(torch.nn.functional.conv2d(x, weights)), stream, (1, 3, 20, 20))
    with torch.inference_mode(), torch.cuda.stream(stream):
        for seed in range(5):
            torch.manual_seed(seed)
            for side in (20, 33):
                x = torch.randn(1, 3, side, side, device="cuda")
                expected = torch.tanh(torch.nn.functional.conv2d(x, weights))
                torch.testing.assert_close(graphed(x), expected, rtol=0, atol=1e-5)
