"""A function of one tensor, captured as a CUDA graph for one shape: one launch instead of one for every layer.

A small tile is over before the host has launched its layers one by one; a graph is launched at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    #: The graph reads here and writes there, whatever it was captured with.
    source: Tensor
    result: Tensor


class GraphedFunction:
    """`function`, replayed from a graph for tensors of `shape`, and called for all others; on `stream` alone.

    The function must be the same launches for every input of that shape: no value of a tensor may be looked at by the
    host. What cannot be captured is raised.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], stream: torch.cuda.Stream, shape: tuple[int, ...]) -> None:
        self._function = function
        self._stream = stream
        self._shape = shape
        #: Libraries have set themselves up for the shape.
        self._is_warm = False
        self._captured: _Captured | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The function of `x`, in memory of its own."""
        if tuple(x.shape) != self._shape:
            return self._function(x)
        if not self._is_warm:
            self._is_warm = True
            return self._function(x)
        captured = self._captured = self._captured or self._capture(x)
        captured.source.copy_(x, non_blocking=True)
        captured.graph.replay()
        # A copy: the next replay writes over the result while this one may still be on its way to the host.
        return captured.result.clone()

    def clear(self) -> None:
        """Drop the graph and the memory that it holds; it is captured again when it is wanted."""
        self._captured = None

    def _capture(self, x: Tensor) -> _Captured:
        source = x.clone()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads go on meanwhile, and may pin memory: only this one's calls are restricted.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = self._function(source)
        return _Captured(graph, source, result)
