"""The fragment form: a stride of k makes k x k offset copies, each scanned with the kernel as it is.

Giusti, Ciresan, Masci, Gambardella, Schmidhuber: Fast image scanning with deep max-pooling convolutional neural
networks, ICIP 2013, arXiv 1302.1700. Fragments are kept in the batch axis, ordered (image, row offset, col offset).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scanner.dense.network.graph import Graph, Layout, run_graph
from scanner.dense.network.layers import Step
from scanner.dense.network.plan import Node, Placement, interleave_factor, lengths_needed, shape_of_patch


def run_fragments(graph: Graph, layout: Layout, image: Tensor) -> Tensor:
    """Score every patch of `image` whose top left lies on the layout's last grid.

    Parameters
    ----------
    graph : Graph
    layout : Layout
    image : Tensor of shape (N, C, H, W)

    Returns
    -------
    Tensor of shape (N, classes, h, w)
        Whole blocks of fragments: may reach beyond the last patch; the caller cuts it.
    """
    count = image.shape[0]
    patch_rows, patch_cols = shape_of_patch(graph.patch_size)
    heights = _lengths(graph.rows, layout.rows, image.shape[2] - patch_rows + 1)
    widths = _lengths(graph.cols, layout.cols, image.shape[3] - patch_cols + 1)
    # Zeros beyond the image enter only outputs beyond the last patch.
    image = F.pad(image, (0, max(0, widths[0] - image.shape[3]), 0, max(0, heights[0] - image.shape[2])))

    def apply(index: int, inputs: list[Tensor]) -> Tensor:
        node = graph.nodes[index]
        assert node.layer is not None
        height, width = heights[index], widths[index]
        if not node.slides:
            sources = zip(node.inputs, inputs, strict=True)
            merged = [_interleave_input(graph, layout, index, source, x) for source, x in sources]
            return node.layer(*(x[:, :, :height, :width] for x in merged))  # type: ignore[no-any-return]
        (x,), source = inputs, node.inputs[0]
        rows, cols = node.rows.window, node.cols.window
        stride, dilation = Step(rows.stride, cols.stride), Step(rows.dilation, cols.dilation)
        copies = []
        for row in range(0, rows.stride, layout.rows[index].grid // layout.rows[source].grid):
            for col in range(0, cols.stride, layout.cols[index].grid // layout.cols[source].grid):
                top, left = node.rows.offset + row, node.cols.offset + col
                bottom = top + (height - 1) * rows.stride + rows.reach
                right = left + (width - 1) * cols.stride + cols.reach
                copies.append(node.layer(x[:, :, top:bottom, left:right], stride, dilation))
        if len(copies) == 1:
            return copies[0]  # type: ignore[no-any-return]
        old = Step(layout.rows[source].fragments, layout.cols[source].fragments)
        new = Step(layout.rows[index].fragments, layout.cols[index].fragments)
        return _order_fragments(copies, count, old=old, new=new)

    out = run_graph(graph, image, apply)
    return interleave(out, Step(layout.rows[-1].fragments, layout.cols[-1].fragments))


def _lengths(nodes: list[Node], placements: tuple[Placement, ...], outputs: int) -> list[int]:
    """Pixels of every node's fragments, for whole blocks that cover the outputs."""
    return lengths_needed(nodes, list(placements), -(-outputs // placements[-1].step))


def _interleave_input(graph: Graph, layout: Layout, index: int, source: int, x: Tensor) -> Tensor:
    """Branches with unequal fragments meet as plain maps."""
    node = graph.nodes[index]
    rows = interleave_factor(node.rows, layout.rows[source], layout.rows[index])
    cols = interleave_factor(node.cols, layout.cols[source], layout.cols[index])
    if rows == cols == 1:
        return x
    # Fragments of the axis that is not interleaved go along with the images, rows being the major axis of both.
    if cols == 1 and layout.cols[source].fragments > 1:
        kept = layout.cols[source].fragments
        turned = x.view(-1, rows, kept, *x.shape[1:]).transpose(1, 2).reshape(-1, *x.shape[1:])
        return interleave(turned, Step(rows, 1))
    return interleave(x, Step(rows, cols))


def _order_fragments(copies: list[Tensor], count: int, *, old: Step, new: Step) -> Tensor:
    """Stack new offsets (major) over old ones (minor): (image, row offset, col offset) in the batch axis."""
    channels, height, width = copies[0].shape[1:]
    more = Step(new.rows // old.rows, new.cols // old.cols)
    stacked = torch.stack(copies)  # (more_r * more_c, N * old_r * old_c, C, h, w)
    split = stacked.view(more.rows, more.cols, count, old.rows, old.cols, channels, height, width)
    ordered = split.permute(2, 0, 3, 1, 4, 5, 6, 7)  # (N, more_r, old_r, more_c, old_c, C, h, w)
    flat = ordered.reshape(count * new.rows * new.cols, channels, height, width)
    return flat.contiguous(memory_format=torch.channels_last)


def interleave(fragments: Tensor, offsets: Step) -> Tensor:
    """Put the fragments of an image side by side.

    Parameters
    ----------
    fragments : Tensor of shape (N * rows * cols, C, h, w)
        In the order (image, row offset, col offset).
    offsets : Step
        Fragments per axis.

    Returns
    -------
    Tensor of shape (N, C, h * rows, w * cols)
    """
    _, channels, height, width = fragments.shape
    split = fragments.reshape(-1, offsets.rows, offsets.cols, channels, height, width)
    interleaved = split.permute(0, 3, 4, 1, 5, 2)  # (N, C, h, rows, w, cols)
    return interleaved.reshape(-1, channels, height * offsets.rows, width * offsets.cols)
