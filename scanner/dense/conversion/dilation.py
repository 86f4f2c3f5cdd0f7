"""The dilated form: every layer is one map, its kernels spread by the layer's step (Li, Zhao, Wang 2014)."""

from __future__ import annotations

from torch import Tensor

from scanner.dense.network.graph import Graph, Layout, run_graph
from scanner.dense.network.layers import Step
from scanner.dense.network.plan import Placement


def run_dilated(graph: Graph, layout: Layout, image: Tensor) -> Tensor:
    """Score every patch of `image` whose top left lies on the layout's last grid.

    Parameters
    ----------
    graph : Graph
    layout : Layout
    image : Tensor of shape (N, C, H, W)

    Returns
    -------
    Tensor of shape (N, classes, h, w)
        May reach beyond the last whole patch where the classifier drops a remainder; the caller cuts it.
    """

    def apply(index: int, inputs: list[Tensor]) -> Tensor:
        node = graph.nodes[index]
        assert node.layer is not None
        if not node.slides:
            return node.layer(*_cut_to_common(inputs))  # type: ignore[no-any-return]
        (x,) = inputs
        rows, cols = layout.rows[node.inputs[0]], layout.cols[node.inputs[0]]
        # The crop's pixels lie `step` image pixels apart, so `step / grid` values of the map.
        x = x[:, :, node.rows.offset * rows.fragments :, node.cols.offset * cols.fragments :]
        stride = Step(_thin(rows, layout.rows[index]), _thin(cols, layout.cols[index]))
        dilation = Step(node.rows.window.dilation * rows.fragments, node.cols.window.dilation * cols.fragments)
        return node.layer(x, stride, dilation)  # type: ignore[no-any-return]

    return run_graph(graph, image, apply)


def _thin(source: Placement, target: Placement) -> int:
    return target.grid // source.grid


def _cut_to_common(inputs: list[Tensor]) -> list[Tensor]:
    """Branches reach differently far beyond the last patch: keep what all have."""
    height, width = min(x.shape[2] for x in inputs), min(x.shape[3] for x in inputs)
    return [x[:, :, :height, :width] for x in inputs]
