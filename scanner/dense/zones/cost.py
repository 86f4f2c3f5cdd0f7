"""What a network costs by zones, counted from the plan: the estimate that decides how it runs, and is printed."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.dense.network.graph import GraphNode, convolution_weight
from scanner.dense.zones.axis import ONE_ELEMENT
from scanner.dense.zones.regions import Axis, Zone
from scanner.dense.zones.run import AxisTask, Spans, axis_tasks

#: FLOPs of a convolution that take as long as writing one value does, on CPUs with wide vectors.
FLOPS_PER_VALUE = 50.0


@dataclass(frozen=True)
class Cost:
    """Work for one patch."""

    #: Of convolutions and linear layers, 2 per multiply-add.
    flops: float
    #: Values written by layers, and copied between regions.
    values: float

    @property
    def effort(self) -> float:
        """Both in one figure, in FLOPs."""
        return self.flops + FLOPS_PER_VALUE * self.values

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.values + other.values)


def head_costs(
    nodes: tuple[GraphNode, ...], spans: tuple[Spans, ...], channels: tuple[int, ...], axes: tuple[Axis, Axis]
) -> list[Cost]:
    """Cost of each node by zones, a patch, on an image with that many patches."""
    patches = axes[0].count * axes[1].count
    costs, lengths = [Cost(0.0, 0.0)], [_image_lengths(spans[0], axes)]
    for node, own, maps in zip(nodes[1:], spans[1:], channels[1:], strict=True):
        source = node.inputs[0]
        if own.rows is ONE_ELEMENT:
            length = (1, 1)
            costs.append(Cost(0.0, 3.0 * maps))
        elif not node.slides:
            length = (min(lengths[i][0] for i in node.inputs), min(lengths[i][1] for i in node.inputs))
            area = _area(own, length[0], length[1], axes)
            costs.append(Cost(0.0, area * maps / patches))
        else:
            before = spans[source]
            pads = (0, 0) if node.padding is None else (node.padding.rows[0], node.padding.cols[0])
            rows = list(axis_tasks(node.rows, pads[0], before.rows, own.rows))
            cols = list(axis_tasks(node.cols, pads[1], before.cols, own.cols))
            length = (_after(node, rows, lengths[source], 0), _after(node, cols, lengths[source], 1))
            area = _area(own, length[0], length[1], axes)
            copied = _copied(rows, cols, lengths[source], axes) * channels[source]
            weight = convolution_weight(node.layer)
            flops = 0.0 if weight is None else 2.0 * weight.numel() * area
            costs.append(Cost(flops / patches, (area * maps + copied) / patches))
        lengths.append((length[0], length[1]))
    return costs


def _image_lengths(image: Spans, axes: tuple[Axis, Axis]) -> tuple[int, int]:
    rows, cols = (
        (axis.count - 1) * axis.stride + span.extent for axis, span in zip(axes, (image.rows, image.cols), strict=True)
    )
    return rows, cols


def _after(node: GraphNode, tasks: list[AxisTask], source: tuple[int, int], dim: int) -> int:
    """Length of the dense map behind a window."""
    window = (node.rows, node.cols)[dim].window
    (task,) = (task for task in tasks if task.zone is Zone.MIDDLE)
    return (source[dim] - task.phase - (window.kernel - 1) * task.dilation - 1) // task.stride + 1


def _area(own: Spans, height: int, width: int, axes: tuple[Axis, Axis]) -> int:
    """Pixels of all regions."""
    rows = height + axes[0].count * (own.rows.before + own.rows.after)
    return rows * (width + axes[1].count * (own.cols.before + own.cols.after))


def _copied(rows: list[AxisTask], cols: list[AxisTask], source: tuple[int, int], axes: tuple[Axis, Axis]) -> int:
    """Pixels of the blocks that are put together from several regions."""
    heights = [_length(task, source[0], axes[0]) for task in rows]
    widths = [_length(task, source[1], axes[1]) for task in cols]
    return sum(heights) * sum(widths) - source[0] * source[1]  # The middle is used where it is.


def _length(task: AxisTask, source: int, axis: Axis) -> int:
    return source if task.block is None else axis.count * (task.block.stop - task.block.start)
