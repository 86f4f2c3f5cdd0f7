"""A function of one tensor, captured as a CUDA graph per shape: one launch instead of one for every layer.

A small tile is over before the host has launched its layers one by one; a graph is launched at once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: Shapes that are kept: tiles inside the slide, on its right edge, on its lower edge, in its corner; whole and cut.
MOST_GRAPHS = 8
#: A shape is captured when it comes for the second time: the first time, libraries set themselves up.
_SIGHTS = 2


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    #: The graph reads here and writes there, whatever it was captured with.
    source: Tensor
    result: Tensor


class GraphedFunction:
    """`function`, replayed from a graph for shapes that come again; to be called on `stream` alone.

    The function must be the same launches for every input of a shape: no value of a tensor may be looked at by the
    host.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], stream: torch.cuda.Stream) -> None:
        self._function = function
        self._stream = stream
        self._pool = torch.cuda.graph_pool_handle()
        self._sights: Counter[tuple[int, ...]] = Counter()
        self._captured: OrderedDict[tuple[int, ...], _Captured] = OrderedDict()
        #: Shapes that could not be captured, and why.
        self.refusals: dict[tuple[int, ...], str] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The function of `x`, in memory of its own."""
        shape = tuple(x.shape)
        self._sights[shape] += 1
        if self._sights[shape] < _SIGHTS or shape in self.refusals:
            return self._function(x)
        if shape not in self._captured:
            self._make_room()
            try:
                self._captured[shape] = self._capture(x)
            except RuntimeError as error:  # Most likely for want of memory, which the layers need only one by one.
                self.refusals[shape] = str(error)
                return self._function(x)
        captured = self._captured[shape]
        self._captured.move_to_end(shape)
        captured.source.copy_(x, non_blocking=True)
        captured.graph.replay()
        # A copy: the next replay writes over the result while this one may still be on its way to the host.
        return captured.result.clone()

    def clear(self) -> None:
        """Drop all graphs and the memory that they hold."""
        self._captured.clear()
        self._sights.clear()
        self.refusals.clear()
        self._pool = torch.cuda.graph_pool_handle()

    def _make_room(self) -> None:
        while len(self._captured) >= MOST_GRAPHS:
            # A graph that still runs must not lose its memory.
            self._stream.synchronize()
            self._captured.popitem(last=False)

    def _capture(self, x: Tensor) -> _Captured:
        source = x.clone()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # All graphs work in the same memory: they are replayed one after the other on one stream, and what one has
        # computed is copied before the next begins. Other threads go on meanwhile, and may pin memory: only this
        # one's calls are restricted.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = self._function(source)
        return _Captured(graph, source, result)
