"""Layer arithmetic in plain integers: what a patch classifier becomes when it is moved over an image.

For one patch, a layer's output has `extent` pixels a side, `step` image pixels apart, from the patch's top left.
Moved over an image, the same layer has a value wherever a patch can start. Layers share these values between patches:
element i of the patch at image row y is the value that the layer has for the patch at row y + i * step.

So the dense net needs each layer on a `grid` of starting rows only: every row at output stride 1, fewer where the
leading strides divide the output stride q. A layer with step = 8 and grid = 2 exists as 8 / 2 = 4 fragments per axis
(Giusti et al. 2013, arXiv 1302.1700), or, side by side, as one map whose kernels are dilated by 4 (Li, Zhao, Wang
2014, arXiv 1412.4526). The numbers are the same, the layout differs.

Remainders that floor pooling drops fall out by themselves: alignment is to the patch's top left, and `used_from_used`
counts backwards the pixels that really reach the output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

#: Side of a square patch, or rows and columns of a rectangular one, in pixels.
PatchSize = int | tuple[int, int]


def shape_of_patch(patch_size: PatchSize) -> tuple[int, int]:
    """Rows and columns of a patch."""
    return (patch_size, patch_size) if isinstance(patch_size, int) else patch_size


@dataclass(frozen=True)
class Window:
    """A sliding window along one axis."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Pixels from the first to the last tap, both counted."""
        return (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True)
class Node:
    """One layer of the classifier as the planner sees it, along one axis."""

    name: str
    #: Positions of its inputs in the list of nodes; none for the image itself.
    inputs: tuple[int, ...]
    #: The window that slides over the input; 1 x 1 for whatever acts on each pixel alone.
    window: Window = Window()
    #: Pixels that a crop drops at the start of the axis.
    offset: int = 0
    #: Pixels per patch after the layer; 0 until `plan_axis` or the tracer knows.
    extent: int = 0


@dataclass(frozen=True)
class Placement:
    """Where a layer's values lie in the image, along one axis."""

    #: Pixels per patch.
    extent: int
    #: Image pixels between two neighbours within a patch.
    step: int
    #: Image pixels between two starting positions that are computed.
    grid: int

    @property
    def fragments(self) -> int:
        """Interleaved copies of the layer: starting positions between two neighbours of a patch."""
        return self.step // self.grid


class GridConflictError(Exception):
    """Two branches that meet were thinned out differently."""


class MisalignedError(Exception):
    """Two branches that meet have pixels at different distances."""


def place_nodes(nodes: list[Node], patch_length: int, stride: int) -> list[Placement]:
    """Where each node lies, along one axis.

    Parameters
    ----------
    nodes : list of Node
        Inputs before users; node 0 is the image.
    patch_length : int
        Length of the patch along the axis, in pixels.
    stride : int
        Output stride q: the grid is thinned where the leading strides divide it.

    Returns
    -------
    list of Placement, one per node
    """
    placements = [Placement(patch_length, 1, 1)]
    for node in nodes[1:]:
        source = _common_placement(node.name, [placements[i] for i in node.inputs])
        grid = source.grid * grid_stride(source, node.window.stride, stride)
        placements.append(Placement(node.extent, source.step * node.window.stride, grid))
    return placements


def _common_placement(name: str, sources: list[Placement]) -> Placement:
    """The placement that all inputs of a node have, or can be brought to."""
    first = sources[0]
    if any(source.grid != first.grid for source in sources):
        raise GridConflictError(name)
    if all(source.step == first.step for source in sources):
        return first
    if any(source.extent > 1 for source in sources):
        raise MisalignedError(f"{name}: pixels lie {sorted({source.step for source in sources})} apart")
    # One value per patch has no neighbours to be apart from: fragments are interleaved into one map first.
    return replace(first, step=first.grid)


def grid_stride(source: Placement, stride: int, output_stride: int) -> int:
    """Factor by which a window of that stride may make the grid coarser: only while there is a single fragment."""
    return gcd(stride, output_stride // source.grid) if source.fragments == 1 else 1


def lengths_needed(nodes: list[Node], placements: list[Placement], blocks: int) -> list[int]:
    """Pixels that every fragment of every node must have, counted backwards, along one axis.

    Parameters
    ----------
    nodes : list of Node
    placements : list of Placement
    blocks : int
        Pixels wanted of every fragment of the last node.

    Returns
    -------
    list of int
        One per node; the first is the length of image to feed in.
    """
    lengths = [0] * len(nodes)
    lengths[-1] = blocks
    for index in range(len(nodes) - 1, 0, -1):
        node = nodes[index]
        # All `stride` offsets of the next fragments are cut from the same source, so it needs whole strides.
        length = node.window.stride * lengths[index] + node.window.reach - 1 + node.offset
        for source in node.inputs:
            factor = interleave_factor(node, placements[source], placements[index])
            lengths[source] = max(lengths[source], -(-length // factor))
    return lengths


def interleave_factor(node: Node, source: Placement, target: Placement) -> int:
    """How many fragments of an input are interleaved into one before the node uses them; 1 if none are."""
    return source.fragments // target.fragments if node.window.stride == 1 else 1
