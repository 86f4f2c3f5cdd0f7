"""Where padding reaches, along one axis, in plain integers."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from scanner.dense.network.plan import Node


@dataclass(frozen=True)
class Span:
    """One layer along one axis: the elements of a patch, and where those of the middle lie in the dense map.

    Element i of the patch that starts at image pixel y has the map's value number (y + i * step + origin) / grid,
    if it is in the middle: before <= i < extent - after.
    """

    #: Elements per patch.
    extent: int
    #: Elements from the top that padding above can reach.
    before: int
    #: Elements from the bottom that padding below can reach.
    after: int
    #: Image pixels between two elements of a patch.
    step: int
    #: Image pixels between two values of the dense map; divides `step` and the output stride.
    grid: int
    #: Image pixels from a patch's start to element 0 in the map: negative where padding moved it out of the map.
    origin: int
    #: Values of the input's map that are skipped, so that its strided windows fall on whole patches.
    phase: int = 0

    @property
    def fragments(self) -> int:
        """Map values from one element of a patch to the next."""
        return self.step // self.grid

    @property
    def has_middle(self) -> bool:
        """True if some elements are shared between patches."""
        return self.before + self.after < self.extent


#: What a pooling over the whole patch leaves: one element, which only its own patch holds.
ONE_ELEMENT = Span(1, 1, 0, 1, 1, 0)


class NoMiddleError(Exception):
    """Padding reaches every element, or branches meet that no common map can hold."""


def image_span(length: int) -> Span:
    """The image itself: nothing is padded yet."""
    return Span(length, 0, 0, 1, 1, 0)


def slide_window(source: Span, node: Node, padding: tuple[int, int], stride: int) -> Span:
    """The span after a window that slides over `source`, padded before and after.

    Raises
    ------
    NoMiddleError
    """
    window, first = node.window, node.offset - padding[0]  # Element that the first window begins with.
    before = _clamp(-(-(source.before - first) // window.stride), node.extent)
    # The last window that ends before what padding below can reach.
    last = (source.extent - source.after - window.reach - first) // window.stride
    after = node.extent - _clamp(last + 1, node.extent)
    thin = gcd(window.stride, stride // source.grid) if source.fragments == 1 else 1
    start = source.origin + first * source.step
    phase = (start // source.grid) % thin
    span = Span(
        node.extent,
        before,
        after,
        source.step * window.stride,
        source.grid * thin,
        start - phase * source.grid,
        phase,
    )
    if not span.has_middle:
        raise NoMiddleError
    return span


def meet(sources: list[Span]) -> Span:
    """The span of a layer in which several inputs meet, element by element.

    Raises
    ------
    NoMiddleError
    """
    first = sources[0]
    if any((s.extent, s.step, s.grid) != (first.extent, first.step, first.grid) for s in sources):
        raise NoMiddleError
    before, after = max(s.before for s in sources), max(s.after for s in sources)
    span = Span(first.extent, before, after, first.step, first.grid, min(s.origin for s in sources))
    if not span.has_middle:
        raise NoMiddleError
    return span


def _clamp(value: int, extent: int) -> int:
    return min(max(value, 0), extent)
