"""A function replayed from graphs gives what it gives when called; stand-ins take CUDA's place where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from scanner.dense.cuda_graph import MOST_GRAPHS, GraphedFunction


class Stream:
    """A stream on which all is done at once."""

    def synchronize(self) -> None:
        """Nothing is under way."""


class Doubling:
    """Doubles its argument; remembers the tensors, as a graph remembers addresses."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] = []
        self.fails = False

    def __call__(self, x: Tensor) -> Tensor:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
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
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    return function


def test_replays_give_what_calls_give_in_memory_of_their_own(doubling: Doubling) -> None:
    graphed = GraphedFunction(doubling, Stream())  # type: ignore[arg-type]
    found = [graphed(torch.full((2, 3), float(value))) for value in range(6)]
    for value, result in enumerate(found):
        assert result.equal(torch.full((2, 3), 2.0 * value))
    assert len(doubling.calls) == 2  # Once as it is, once to capture.


def test_the_oldest_graphs_go_when_there_are_too_many(doubling: Doubling) -> None:
    graphed = GraphedFunction(doubling, Stream())  # type: ignore[arg-type]
    for length in range(1, MOST_GRAPHS + 3):
        for _ in range(2):
            assert graphed(torch.ones(length)).equal(torch.full((length,), 2.0))
    assert len(graphed._captured) == MOST_GRAPHS
    assert graphed(torch.ones(1)).equal(torch.full((1,), 2.0))
    graphed.clear()
    assert graphed(torch.ones(1)).equal(torch.full((1,), 2.0))


def test_what_cannot_be_captured_is_called(doubling: Doubling, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    graphed = GraphedFunction(doubling, Stream())  # type: ignore[arg-type]
    for _ in range(3):
        assert graphed(torch.ones(4)).equal(torch.full((4,), 2.0))
    assert graphed.refusals == {(4,): "CUDA out of memory"}
    doubling.fails = True
    with pytest.raises(RuntimeError, match="not permitted"):
        graphed(torch.ones(4))


@pytest.mark.gpu
def test_a_graph_on_a_gpu_is_the_function() -> None:
    stream = torch.cuda.Stream()
    weights = torch.randn(8, 3, 5, 5, device="cuda")
    graphed = GraphedFunction(lambda x: torch.tanh(torch.nn.functional.conv2d(x, weights)), stream)
    with torch.inference_mode(), torch.cuda.stream(stream):
        for seed in range(5):
            torch.manual_seed(seed)
            for side in (20, 33):
                x = torch.randn(1, 3, side, side, device="cuda")
                expected = torch.tanh(torch.nn.functional.conv2d(x, weights))
                torch.testing.assert_close(graphed(x), expected, rtol=0, atol=1e-5)
    assert graphed.refusals == {}
